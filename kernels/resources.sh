#!/usr/bin/env bash
# Registers, shared memory, stack and spills of every CUDA kernel, from ptxas, into kernels/RESOURCES.md. Fails when a
# kernel spills that the committed table does not list with at least that many bytes; --accept writes it all the same.
# usage: kernels/resources.sh [--accept] [arch, default 90a]
set -euo pipefail
cd "$(dirname "$0")/.."
accept=no
if [ "${1:-}" = --accept ]; then
    accept=yes
    shift
fi
arch=${1:-90a}
nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
table=kernels/RESOURCES.md
new=$(mktemp) said=$(mktemp)
trap 'rm -f "$new" "$said"' EXIT
{
    printf '# Resources of the CUDA kernels\n\n'
    printf 'From `kernels/resources.sh`: what ptxas (%s) says for sm_%s. Bytes; shared memory without the launch'"'"'s.\n\n' \
        "$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/CUDA \1/p')" "$arch"
    printf '| kernel | registers | shared | stack | spilled |\n|---|---:|---:|---:|---:|\n'
    for source in kernels/*/*.cu; do
        "$nvcc" -std=c++17 -O3 -I. -gencode "arch=compute_$arch,code=sm_$arch" -cubin -Xptxas -v -o /dev/null "$source" \
            >"$said" 2>&1 || { cat "$said" >&2; exit 1; }
        c++filt <"$said" |
            awk '/Function properties for / { sub(/.*Function properties for /, ""); sub(/^void /, ""); sub(/\(.*/, ""); name = $0 }
                 /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
                 /Used [0-9]+ registers/ {
                     match($0, /Used [0-9]+/); regs = substr($0, RSTART + 5, RLENGTH - 5)
                     shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH - 11) : 0
                     if (name != "") printf "| %s | %s | %s | %s | %s |\n", name, regs, shared, stack, spilled
                     name = ""
                 }' | sort
    done
} >"$new"
worse=$(awk -F' *[|] *' 'NR == FNR { was[$2] = $6; next } $6 + 0 > was[$2] + 0 && $6 ~ /^[0-9]+$/ { print "  " $2 ": " $6 " bytes" }' \
    <([ -f "$table" ] && cat "$table") "$new")
if [ -n "$worse" ] && [ "$accept" = no ]; then
    printf 'Kernels that spill and are not listed so in %s (--accept lists them):\n%s\n' "$table" "$worse" >&2
    exit 1
fi
cp "$new" "$table"
chmod 644 "$table"
