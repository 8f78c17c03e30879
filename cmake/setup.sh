#!/usr/bin/env bash
# Makes sure that the compiler and the libraries are here; installs what is missing with apt on Debian and Ubuntu.
# A second run finds everything in place, changes nothing and takes well under a second.
set -euo pipefail

packages=(
    build-essential cmake pkg-config
    python3 python3-pip # to download model files, and to run programs that a model wrote (eval/cage.h)
    libopenblas-openmp-dev libhdf5-dev libcjson-dev libarchive-dev
    libpcre2-dev libutf8proc-dev libcmocka-dev libssl-dev
    bubblewrap libseccomp-dev
)
# What CMakeLists.txt asks pkg-config for, and each library's home for systems without apt.
modules=(
    "libcjson       cJSON      https://github.com/DaveGamble/cJSON"
    "libarchive     libarchive https://libarchive.org"
    "libpcre2-8     PCRE2      https://www.pcre.org"
    "libutf8proc    utf8proc   https://juliastrings.github.io/utf8proc"
    "libcrypto      OpenSSL    https://www.openssl.org"
    "hdf5-serial    HDF5       https://www.hdfgroup.org/solutions/hdf5"
    "openblas       OpenBLAS   https://www.openblas.net"
    "libseccomp     libseccomp https://github.com/seccomp/libseccomp"
    "cmocka         cmocka     https://cmocka.org"
)

say() { printf '%s\n' "$*" >&2; }

missing_packages() {
    local installed
    installed=" $(dpkg-query -W -f='${binary:Package} ${db:Status-Abbrev}\n' "${packages[@]}" 2>/dev/null |
        awk '$2 == "ii" { sub(/:.*/, "", $1); printf "%s ", $1 }') "
    for p in "${packages[@]}"; do
        case $installed in *" $p "*) ;; *) printf '%s ' "$p" ;; esac
    done
}

missing_modules() {
    local line module rest
    for line in "${modules[@]}"; do
        read -r module rest <<<"$line"
        pkg-config --exists "$module" 2>/dev/null || printf '  %-12s %s\n' "$module" "$rest"
    done
}

tools_and_libraries() {
    local tool lacking=""
    for tool in cc cmake pkg-config python3; do
        command -v "$tool" >/dev/null || lacking+="  $tool (a command)"$'\n'
    done
    if command -v pkg-config >/dev/null; then lacking+=$(missing_modules); fi
    printf '%s' "$lacking"
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    missing=$(missing_packages)
    if [ -n "$missing" ]; then
        say "Installing: $missing"
        as_root=()
        if [ "$(id -u)" -ne 0 ]; then
            if ! command -v sudo >/dev/null; then
                say "This needs an administrator. Run as root:"
                say "  apt-get update && apt-get install -y --no-install-recommends $missing"
                exit 4
            fi
            as_root=(sudo)
        fi
        log=$(mktemp)
        # The list of packages may be fresh already: try without an update first.
        # shellcheck disable=SC2086
        if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing \
            >"$log" 2>&1 &&
            ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            rm -f "$log"
            say ""
            say "apt could not install what is missing: $missing"
            say "With a network (or a local mirror), run:"
            say "  ${as_root[*]:+sudo }apt-get update && ${as_root[*]:+sudo }apt-get install -y --no-install-recommends $missing"
            exit 4
        fi
        rm -f "$log"
    fi
fi

lacking=$(tools_and_libraries)
if [ -n "$lacking" ]; then
    say "These are needed and were not found (names as pkg-config knows them):"
    say "$lacking"
    say "Install them with your system's package manager, then run make again."
    say "(Where a library is in an unusual place, set PKG_CONFIG_PATH.)"
    exit 4
fi
