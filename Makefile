# A thin front over CMake's presets: everything real is in CMakeLists.txt and cmake/setup.sh.

MODELS := smollm2-135m-instruct minilm-l6-v2 t2l-mini
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
SOURCES = $(shell git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp')
step    = @printf '==> %s\n' '$(1)'

SHELL := bash
.SHELLFLAGS := -o pipefail -c
# $(call compile,PRESET,TARGET): only what is compiled and linked is shown.
compile = @cmake --preset $(1) --log-level=WARNING >/dev/null && cmake --build --preset $(1) --target $(2) -j $(JOBS) \
	-- --no-print-directory -s | { grep -v 'Built target' || true; }

export CMAKE_GENERATOR = Unix Makefiles
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-asan bench gpu-check gpu-carry format clean

help:
	@echo 'make build      compile the program into build/t2l'
	@echo 'make demo       train a small Text-to-LoRA on this machine and show what it learned'
	@echo 'make test       build, fetch the two small models, run every test'
	@echo 'make test-asan  the same under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make bench      time the operations and print a table'
	@echo 'make gpu-check  on a machine with an NVIDIA GPU: test and time the CUDA backend (under 8 minutes)'
	@echo 'make gpu-carry  pack what gpu-check runs, for a machine that lacks the libraries to build it'
	@echo 'make setup      install missing libraries (apt); the targets above do it themselves'
	@echo 'make format     clang-format every source file'
	@echo 'make clean      remove the build folders; runs and fetched models stay'

setup:
	$(call step,setup: compiler and libraries)
	@cmake/setup.sh

build: setup
	$(call step,build: build/t2l)
	$(call compile,release,t2l)

demo: build
	$(call step,models: fetch or find in the cache)
	@build/t2l fetch $(MODELS) >/dev/null
	$(call step,demo: train on configs/demo.json and evaluate)
	@build/t2l demo

# Waiting threads sleep instead of spinning: a busy machine stays usable, and the tests are no slower.
test test-asan: export OMP_WAIT_POLICY = passive

test: setup
	$(call step,build: build/t2l and the tests)
	$(call compile,release,all)
	$(call step,models: fetch or find in the cache)
	@build/t2l fetch $(MODELS)
	$(call step,test)
	@ctest --test-dir build --output-on-failure

test-asan: setup
	$(call step,build: build-asan/t2l and the tests with sanitizers)
	$(call compile,asan,all)
	$(call step,models: fetch or find in the cache)
	@build-asan/t2l fetch $(MODELS)
	$(call step,test with sanitizers)
	@ctest --test-dir build-asan --output-on-failure

bench: build
	$(call step,bench)
	$(call compile,release,benches)
	@for b in build/bench_*; do if [ -f "$$b" ] && [ -x "$$b" ]; then "$$b" || [ $$? -eq 4 ] || exit 1; fi; done

gpu-check:
	@tests/bench/gpu_check.sh

gpu-carry: setup
	@tests/bench/gpu_carry.sh

format:
	$(call step,format)
	@clang-format -i $(SOURCES)

clean:
	$(call step,clean)
	@rm -rf build build-gpu build-debug build-asan build-fuzz
