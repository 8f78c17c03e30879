#!/usr/bin/env bash
# Everything that needs a GPU, in under 8 minutes: tests/bench/gpu_check.sh (make gpu-check)
#   build        sm of this machine's GPU with nvcc, into build-gpu; or build-gpu/carry.tar.xz (make gpu-carry) unpacked
#   op tests     tests/kernels with the GPU in the interpreter's place, against their float64 references
#   sanitizer    compute-sanitizer memcheck and racecheck on a few of them
#   benchmarks   bench_cuda: every operation against the roofs of this machine
#   PyTorch      torch_sft.py: the SFT step written plainly, Mistral-7B shapes
# A table at the end; check.json, bench.json, torch_sft.json and log in runs/gpu/DATE. What a part lacks is said, and the
# part skipped. Exit 0; 1: a part failed; 4: no GPU.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

if ! gpu=$(nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader 2>/dev/null | head -n 1) || [ -z "$gpu" ]; then
    echo "gpu-check: no NVIDIA GPU here (nvidia-smi finds none); nothing was run" >&2
    exit 4
fi
IFS=, read -r name driver cc <<<"${gpu//, /,}"
PATH=$PATH:/usr/local/cuda/bin
budget=470 # seconds, of 8 minutes
build="build-gpu"
out=runs/gpu/$(date -u +%Y-%m-%d-%H%M%S)
mkdir -p "$out"
log=$out/log
nvcc=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p')
commit=$(git rev-parse HEAD 2>/dev/null || cat $build/carried/commit 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || commit+=" and changes"

parts=() failures=0
# part NAME STATUS DETAIL: ok, failed, skipped or not yet
part() {
    parts+=("$1|$2|$SECONDS|$3")
    [ "$2" != failed ] || failures=$((failures + 1))
    printf '%-9s %4d s  %-22s %s\n' "$2" "$SECONDS" "$1" "$3"
}
left() { echo $((budget - SECONDS)); }
# limited SECONDS COMMAND...: within what is left; output to the log
limited() {
    local most=$1
    shift
    [ "$(left)" -gt "$most" ] || most=$(left)
    [ "$most" -gt 5 ] || return 124
    echo "== $*" >>"$log"
    timeout "$most" "$@" >>"$log" 2>&1
}
# The same for our programs, with the carried libraries.
libs=${LD_LIBRARY_PATH:-}
ours() { LD_LIBRARY_PATH=$libs limited "$@"; }
# verdict NAME WHAT_FAILED DETAIL
verdict() { if [ -z "$2" ]; then part "$1" ok "$3"; else part "$1" failed "$2"; fi; }
# time_for NAME SECONDS: else the part is skipped
time_for() {
    [ "$(left)" -ge "$2" ] && return
    part "$1" skipped "$(left) s are left, $2 wanted"
    return 1
}
last_error() { { grep -iE 'error|fail|cannot|no such' "$log" || tail -n 1 "$log"; } | tail -n 1 | cut -c1-150 | tr -d '"\\|'; }

build() {
    if [ -f $build/carry.tar.xz ]; then
        rm -rf $build/carried
        bin=$build/carried
        mkdir -p $bin
        libs=$PWD/$bin/lib:/usr/local/cuda/lib64:$(python3 -c 'import nvidia.cu13 as n; print(n.__path__[0])' 2>/dev/null)/lib
        if limited 30 tar -C $bin -xJf $build/carry.tar.xz && ours 30 $bin/bench_cuda --predict; then
            commit=$(cat $bin/commit)
            part build ok "carried binaries"
            return
        fi
        part build failed "carried binaries do not run: $(last_error)"
        return 1
    fi
    [ -n "$nvcc" ] || { part build skipped "no nvcc and no $build/carry.tar.xz (make gpu-carry)"; return 1; }
    arch=${cc/./}
    [ "$arch" != 90 ] || arch=90a
    if ! limited 60 cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DT2L_CUDA=ON "-DT2L_CUDA_ARCHS=$arch"; then
        part build skipped "a library is missing ($(last_error)); carry binaries: make gpu-carry"
        return 1
    fi
    local targets=(bench_cuda)
    for t in tests/kernels/test_*.c; do targets+=("test_kernels_$(basename "$t" .c | cut -c6-)"); done
    bin=$build
    limited 300 cmake --build $build -j "$(nproc)" --target "${targets[@]}" && part build ok "sm_$arch, nvcc $nvcc" && return
    part build failed "$(last_error)"
    return 1
}

export OMP_WAIT_POLICY=passive
op_tests() {
    local bad="" n=0
    for t in "$bin"/test_kernels_*; do
        n=$((n + 1))
        T2L_TEST_GPU=1 ours 60 "$t" || bad+=" $(basename "$t" | cut -c14-)($?)"
    done
    verdict "op tests" "$bad" "$n programs"
}

sanitizer() {
    local tool=$1 bad="" t
    for t in add rmsnorm gelu softcap rope layernorm norm; do
        T2L_TEST_GPU=1 ours 40 compute-sanitizer --tool "$tool" --error-exitcode 9 "$bin/test_kernels_$t" || bad+=" $t($?)"
    done
    verdict "$tool" "$bad" "7 programs"
}

echo "gpu-check: $name, driver $driver, compute capability $cc, nvcc ${nvcc:-none}, commit $commit"
have_build=false
if build; then have_build=true; fi
if ! $have_build; then
    for p in "op tests" benchmarks; do part "$p" skipped "no binaries"; done
else
    op_tests
    ours 90 "$bin/bench_cuda" --json "$out/bench.json"
    code=$?
    sed '1,/^== .*bench_cuda --json/d' "$log"
    verdict benchmarks "$([ $code = 0 ] || echo "exit $code: $(last_error)")" bench.json
fi
if ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    part "PyTorch SFT step" skipped "python3 has no torch that sees the GPU"
elif time_for "PyTorch SFT step" 60; then
    limited 120 python3 tests/bench/torch_sft.py --json "$out/torch_sft.json"
    code=$?
    verdict "PyTorch SFT step" "$([ $code = 0 ] || echo "exit $code: $(last_error)")" \
        "$(tr -d '{}"' <"$out/torch_sft.json" 2>/dev/null)"
fi
for tool in memcheck racecheck; do
    if ! $have_build; then
        part $tool skipped "no binaries"
    elif ! command -v compute-sanitizer >/dev/null; then
        part $tool skipped "no compute-sanitizer"
    elif time_for $tool 60; then
        sanitizer $tool
    fi
done
part "our SFT step" "not yet" "no check written yet"
part "model against PyTorch" "not yet" "not written yet"
part "demo's loss curve" "not yet" "not written yet"

{
    printf '{"commit":"%s","device":"%s","driver":"%s","compute_capability":"%s","nvcc":"%s","seconds":%d,"parts":[' \
        "$commit" "$name" "$driver" "$cc" "$nvcc" "$SECONDS"
    comma=""
    for p in "${parts[@]}"; do
        IFS='|' read -r part status at detail <<<"$p"
        printf '%s\n {"part":"%s","status":"%s","ended_at_s":%d,"detail":"%s"}' "$comma" "$part" "$status" "$at" \
            "$(tr -d '"\\' <<<"$detail")"
        comma=,
    done
    printf ']}\n'
} >"$out/check.json"

echo
printf '| part | result | |\n|---|---|---|\n'
for p in "${parts[@]}"; do
    IFS='|' read -r part status at detail <<<"$p"
    printf '| %s | %s | %s |\n' "$part" "$status" "$detail"
done
echo "$SECONDS s; $out"
[ $failures -eq 0 ]
