#!/usr/bin/env bash
# Packs the programs of gpu_check.sh and the libraries they need, but for those of CUDA, C and C++, into
# build-gpu/carry.tar.xz, for a machine with a GPU but without a network and those libraries:
#   tests/bench/gpu_carry.sh [ARCHS]    default 90a (make gpu-carry)
set -euo pipefail
cd "$(dirname "$0")/../.."
build="build-gpu"
targets=(bench_cuda)
for t in tests/kernels/test_*.c; do targets+=("test_kernels_$(basename "$t" .c | cut -c6-)"); done
cmake -S . -B $build -DCMAKE_BUILD_TYPE=Release -DT2L_CUDA=ON "-DT2L_CUDA_ARCHS=${1:-90a}" >/dev/null
cmake --build $build -j "${JOBS:-$(nproc)}" --target "${targets[@]}"
pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT
mkdir "$pack/lib"
for t in "${targets[@]}"; do
    strip -o "$pack/$t" "$build/$t"
    ldd "$build/$t"
done | awk '$3 ~ /^\// { print $3 }' | sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+|libcuda|libcublas(Lt)?)\.so' |
    xargs -I{} cp -L {} "$pack/lib"
changes=$(git status --porcelain --untracked-files=no)
echo "$(git rev-parse HEAD)${changes:+ and changes}" >"$pack/commit"
tar -C "$pack" -c . | xz -T1 --lzma2=preset=6,dict=128MiB >$build/carry.tar.xz.part
mv $build/carry.tar.xz.part $build/carry.tar.xz
ls -l $build/carry.tar.xz
