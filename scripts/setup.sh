#!/usr/bin/env bash
# Installs what Polyak needs, or says what is missing.
#
#   scripts/setup.sh build       what the programs need
#   scripts/setup.sh test        that, and what the tests and the lint need; into .venv-test, from PyPI,
#                                what reads the manifests of Kubernetes
#   scripts/setup.sh --mujoco    MuJoCo and Gymnasium from PyPI, into .venv in this directory, and what
#                                pictures and videos need; also behind one of the words
#
# On Debian, root gets the missing packages installed; anybody else is told the command and gets
# exit code 1. Elsewhere the programs and libraries are looked for, and the missing ones are named.
# Nothing is done, and no network used, when nothing is missing. .venv needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."

# The one list: set, Debian package, how to find it on other systems, what it is for. Polyak does
# without what is extra; it is installed with the build set on Debian for amd64, which has it. Training
# does without what is of the set picture.
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
test  python3-numpy          python:numpy               tests of environments in Python
test  qemu-user              command:qemu-x86_64        a CPU without AVX
test  systemd                command:systemd-analyze    checks of the units
test  dpkg-dev               command:dpkg-buildpackage  Debian packages
test  debhelper              command:dh                 Debian packages
test  lintian                command:lintian            checks of the packages
test  slurmctld              command:slurmctld          tests of deploy/slurm: the controller
test  slurmd                 command:slurmd             tests of deploy/slurm: the nodes
test  slurm-client           command:sbatch             tests of deploy/slurm
test  munge                  command:munged             tests of deploy/slurm: who asks
test  mmdebstrap             command:mmdebstrap         a base image of Debian's packages
test  buildah                command:buildah            builds the image, without a daemon
test  crun                   command:crun               runs the image
test  iproute2               command:ip                 hosts of a test's own
venv  python3-venv           python:ensurepip           makes .venv, for MuJoCo and Gymnasium
picture libegl1              library:libEGL.so.1        pictures of MuJoCo tasks, without a display
picture libgl1-mesa-dri      library:libEGL_mesa.so.0   pictures of MuJoCo tasks, without a GPU
picture ffmpeg               command:ffmpeg             polyak eval --video
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
    python) "$python" -c "import $name" >/dev/null 2>&1 ;;
    library) PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -qF "$name " ;;
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

# Installs the packages of some sets, or names the missing ones; 1 when there are any at the end.
install_packages() { # SETS, as a|b
    local wanted missing
    mapfile -t wanted < <(packages | awk -v sets="^($1)$" '$1 ~ sets { print $2 }')
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "scripts/setup.sh: packages are missing; as root, run:" >&2
        echo "apt-get install ${missing[*]}" >&2
        return 1
    fi
    install "${missing[@]}"
    mapfile -t missing < <(missing_packages "${missing[@]}")
    [ ${#missing[@]} -eq 0 ] || fail "still missing: ${missing[*]}"
}

# The same where there is no dpkg: the missing ones are named.
name_missing() { # SETS, as a|b
    local set package probe purpose all=yes
    while read -r set package probe purpose; do
        [[ $set =~ ^($1)$ ]] || continue
        found "$probe" && continue
        [ $all = no ] || echo "scripts/setup.sh: not Debian; please install what is missing:" >&2
        all=no
        printf '  %-34s %s (in Debian: %s)\n' "$probe" "$purpose" "$package" >&2
    done < <(packages)
    [ $all = yes ]
}

provide() { # SETS, as a|b
    if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
        install_packages "$1"
    else
        name_missing "$1"
    fi
}

# The version that is pinned of a wheel.
pinned() { # NAME
    sed -n "s/^$1==\([^; ]*\).*/\1/p" scripts/requirements.txt
}

# Whether .venv holds what the list names now: the copy in it is written when all is installed.
wheels_installed() {
    cmp -s scripts/requirements.txt .venv/requirements.txt &&
        .venv/bin/python -c 'import mujoco, gymnasium' 2>/dev/null
}

install_wheels() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "MuJoCo's wheels need Python 3.11 or newer; say PYTHON=/path/to/it scripts/setup.sh --mujoco"
    # A checkout that was moved, or a Python that is gone, leaves a .venv that does not run.
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --clear .venv >&2 ||
            fail "$python cannot make .venv: see above (on Debian: apt-get install python3-venv)"
    fi
    echo "Installing MuJoCo $(pinned mujoco) and Gymnasium $(pinned gymnasium) into .venv (240 MB)" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --retries 2 \
        --no-deps --only-binary :all: --no-compile -r scripts/requirements.txt >&2 ||
        fail "the wheels could not be installed: see above (is PyPI reachable? run this again)"
    .venv/bin/python -c 'import mujoco, gymnasium' >&2 ||
        fail "the wheels are installed but do not run here: see above"
    cp scripts/requirements.txt .venv/requirements.txt
}

# Into .venv-test. The tests that need it are skipped where there is no PyPI, so that ends nothing.
install_test_wheels() {
    if cmp -s scripts/requirements-test.txt .venv-test/requirements.txt &&
        .venv-test/bin/python -c 'import kubernetes_validate' 2>/dev/null; then return; fi
    echo "Installing the schemas of Kubernetes into .venv-test (25 MB)" >&2
    if "$python" -m venv --clear .venv-test >&2 &&
        .venv-test/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
            --retries 2 --no-deps --only-binary :all: --no-compile \
            -r scripts/requirements-test.txt >&2; then
        cp scripts/requirements-test.txt .venv-test/requirements.txt
    else
        echo "scripts/setup.sh: .venv-test could not be made: tests of manifests are skipped" >&2
    fi
}

usage() {
    echo "usage: scripts/setup.sh [build|test] [--mujoco]" >&2
    exit 2
}

python=${PYTHON:-python3}
sets='' mujoco=no
for argument in "$@"; do
    case $argument in
    build) sets+='|build' ;;
    test) sets+='|build|test|venv|picture' ;;
    --mujoco | --gymnasium) mujoco=yes ;; # one .venv has both
    *) usage ;;
    esac
done
[ $# -gt 0 ] || usage
if [[ $sets == *build* ]] && command -v dpkg >/dev/null &&
    [ "$(dpkg --print-architecture)" = amd64 ]; then sets+='|extra'; fi

[ -z "$sets" ] || provide "${sets#|}" || exit 1
if [[ $sets == *test* ]]; then install_test_wheels; fi
[ $mujoco = yes ] || exit 0

"$python" -c 'import venv, ensurepip' 2>/dev/null || provide venv || exit 1
wheels_installed || install_wheels
(provide picture) || echo "That is for pictures and videos; training does without." >&2
cat >&2 <<END
MuJoCo $(pinned mujoco) and Gymnasium $(pinned gymnasium) are in .venv. Next, to build with them and train:
  scripts/train.sh --env mujoco:HalfCheetah-v5
END
