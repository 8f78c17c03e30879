#!/usr/bin/env bash
# What can be tested of gpu_check.sh without a GPU: test_gpu_check.sh BENCH_CUDA
# The predictions are those of kernels/PREDICTED.md, whose last column is for measurements; where nvidia-smi finds no GPU,
# one line says so and the exit code is 4.
set -euo pipefail
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}

without_measured() { sed 's/|[^|]*|$/|/' "$1"; }
"$1" --predict >"$tmp/predicted"
diff <(without_measured "$tmp/predicted") <(without_measured kernels/PREDICTED.md) ||
    fail "kernels/PREDICTED.md is not what bench_cuda --predict prints"
! "$1" --nonsense 2>/dev/null || fail "bench_cuda takes an unknown option"

printf '#!/bin/sh\necho "No devices were found"\nexit 9\n' >"$tmp/nvidia-smi"
chmod +x "$tmp/nvidia-smi"
runs=$(ls runs/gpu 2>/dev/null || true)
code=0
PATH=$tmp:$PATH tests/bench/gpu_check.sh >"$tmp/out" 2>"$tmp/err" || code=$?
[ $code -eq 4 ] || fail "gpu_check.sh without a GPU: exit $code"
[ ! -s "$tmp/out" ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q 'no NVIDIA GPU' "$tmp/err" || fail "gpu_check.sh said: $(cat "$tmp/out" "$tmp/err")"
[ "$runs" = "$(ls runs/gpu 2>/dev/null || true)" ] || fail "gpu_check.sh left a run behind"
