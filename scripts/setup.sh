#!/usr/bin/env bash
# Installs what Polyak needs, or says what is missing.
#
#   scripts/setup.sh build    what the programs need
#   scripts/setup.sh test     that, and what the tests and the lint need
#
# On Debian, root gets the missing packages installed; anybody else is told the command and gets
# exit code 1. Elsewhere the programs and libraries are looked for, and the missing ones are named.
# Nothing is done, and no network used, when nothing is missing.
set -euo pipefail

# The one list: set, Debian package, how to find it on other systems, what it is for. Polyak does
# without what is extra; it is installed with the build set on Debian for amd64, which has it.
packages() {
    cat <<'LIST'
build gcc                    command:gcc                compiler
build libc6-dev              header:stdio.h             C library
build cmake                  command:cmake              build, 3.25 or newer
build ninja-build            command:ninja              build
build pkgconf                command:pkg-config         finds the libraries
build libzmq3-dev            pkg-config:libzmq          transport (ZeroMQ 4.3)
build libprotobuf-c-dev      pkg-config:libprotobuf-c   wire format
build protobuf-c-compiler    command:protoc-c           generates code from proto/polyak.proto
build libuv1-dev             pkg-config:libuv           event loop of the learner
build libopenblas-pthread-dev pkg-config:openblas      matrix products; safe from several threads
extra libxsmm-dev            pkg-config:libxsmm         faster small matrix products
build libyaml-dev            pkg-config:yaml-0.1        configuration files
build libjansson-dev         pkg-config:jansson         JSON
build libxxhash-dev          pkg-config:libxxhash       checksums
build librandom123-dev       header:Random123/threefry.h random numbers
build uthash-dev             header:uthash.h            hash tables
test  libcmocka-dev          pkg-config:cmocka          unit tests
test  clang                  command:clang              the second compiler
test  libclang-rt-dev        sanitizer:clang            sanitizers of clang
test  g++                    command:g++                checks that the plugin header is good C++
test  clang-format           command:clang-format       lint: layout, version 14
test  clang-tidy             command:clang-tidy         lint, version 14
test  cppcheck               command:cppcheck           lint
test  shellcheck             command:shellcheck         lint of the scripts
test  python3                command:python3            checks of the tree; standard library only
test  qemu-user              command:qemu-x86_64        a CPU without AVX
LIST
}

fail() {
    printf 'scripts/setup.sh: %s\n' "$1" >&2
    exit 1
}

# The packages of the wanted sets that dpkg does not know as installed.
missing_packages() {
    local installed
    # Exits with 1 when it has never heard of one; what it prints is right all the same.
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
    printf '%s\n' "$@" | grep -vxF -f <(sed -n 's/^installed //p' <<<"$installed") || true
}

# Whether something is there, on a system without dpkg: kind:name.
found() {
    local kind=${1%%:*} name=${1#*:}
    case $kind in
    command) command -v "$name" >/dev/null ;;
    pkg-config) command -v pkg-config >/dev/null && pkg-config --exists "$name" ;;
    header) printf '#include <%s>\n' "$name" | "${CC:-cc}" -E -x c - >/dev/null 2>&1 ;;
    sanitizer)
        printf 'int main(void) { return 0; }\n' |
            "$name" -fsanitize=address,undefined -x c - -o /dev/null >/dev/null 2>&1
        ;;
    esac
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get install -y -q --no-install-recommends)
    printf 'Installing %s\n' "$*" >&2
    # A fresh machine has no package lists, and an old one has stale ones: fetch them only then.
    if "${apt[@]}" --simulate "$@" >/dev/null 2>&1 && "${apt[@]}" "$@" >&2; then return; fi
    apt-get update -q >&2 || fail "apt-get update failed: is the network there?"
    "${apt[@]}" "$@" >&2 || fail "apt-get install failed: see above"
}

case ${1:-} in
build) sets=build ;;
test) sets='build|test' ;;
*)
    echo "usage: scripts/setup.sh build|test" >&2
    exit 2
    ;;
esac

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    [ "$(dpkg --print-architecture)" != amd64 ] || sets="$sets|extra"
    mapfile -t wanted < <(packages | awk -v sets="^($sets)$" '$1 ~ sets { print $2 }')
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    [ ${#missing[@]} -gt 0 ] || exit 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "scripts/setup.sh: packages are missing; as root, run:" >&2
        echo "apt-get install ${missing[*]}" >&2
        exit 1
    fi
    install "${missing[@]}"
    mapfile -t missing < <(missing_packages "${missing[@]}")
    [ ${#missing[@]} -eq 0 ] || fail "still missing: ${missing[*]}"
else
    found_all=yes
    while read -r set package probe purpose; do
        [[ $set =~ ^($sets)$ ]] || continue
        found "$probe" && continue
        [ $found_all = no ] || echo "scripts/setup.sh: not Debian; please install what is missing:" >&2
        found_all=no
        printf '  %-34s %s (in Debian: %s)\n' "$probe" "$purpose" "$package" >&2
    done < <(packages)
    [ $found_all = yes ]
fi
