#!/usr/bin/env bash
# Checks layout (clang-format), and looks for mistakes (shellcheck, cppcheck, clang-tidy), in our own
# files.
#
#   scripts/lint.sh                                      all; needs build-test-clang configured
#   scripts/lint.sh format|shell|cppcheck|tidy [BUILD]   one; BUILD is a configured directory
#   scripts/lint.sh fix                                  formats all files in place
#
# clang-tidy looks again only at files that changed, or all when a header or .clang-tidy did.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=(common proto actor net learner relay cli examples bench tests)

files() { # NAME…: our files with one of these names, one a line
    local names=()
    for name in "$@"; do names+=(-o -name "$name"); done
    find "${parts[@]}" -type f \( "${names[@]:1}" \) | LC_ALL=C sort
}

lint_format() {
    files '*.c' '*.h' '*.cc' | xargs clang-format --dry-run -Werror ||
        { echo "format: run scripts/lint.sh fix" >&2 && return 1; }
}

lint_shell() {
    local scripts
    mapfile -t scripts < <(find tests bench cmake examples -type f -name '*.sh' | LC_ALL=C sort)
    shellcheck scripts/*.sh .ci/run deploy/slurm/polyak-slurm deploy/slurm/polyak.sbatch \
        deploy/slurm/actor.sh "${scripts[@]}"
}

lint_cppcheck() {
    mkdir -p "$build/lint/cppcheck"
    files '*.c' | xargs cppcheck --quiet -j "$(nproc)" --std=c11 --error-exitcode=1 --inline-suppr \
        --enable=warning,performance,portability --suppress=missingIncludeSystem \
        --cppcheck-build-dir="$build/lint/cppcheck" -D_GNU_SOURCE -I .
}

lint_tidy() {
    [ -e "$build/compile_commands.json" ] ||
        { echo "tidy: configure first: cmake --preset test-clang" >&2 && return 1; }
    mkdir -p "$build/lint/tidy"
    local newest
    newest=$({
        files '*.h' '*.def'
        printf '%s\n' .clang-tidy tests/.clang-tidy "$build/compile_commands.json"
    } | xargs stat -c '%Y %n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
    files '*.c' | grep -vxFf <(not_compiled) |
        xargs -P "$(nproc)" -n 1 "$0" tidy-one "$build" "$newest"
}

# Files that no target compiles, such as a test's plugin that is built another way.
not_compiled() {
    local file
    files '*.c' | while read -r file; do
        grep -qF "\"$PWD/$file\"" "$build/compile_commands.json" || printf '%s\n' "$file"
    done
}

tidy_one() { # BUILD NEWEST FILE
    local stamp
    stamp=$1/lint/tidy/${3//\//.}
    if [ "$stamp" -nt "$3" ] && [ "$stamp" -nt "$2" ]; then return; fi
    clang-tidy --quiet -p "$1" "$3" 2> >(grep -v 'warnings\? generated\.$' >&2) && touch "$stamp"
}

check=all
case ${1:-} in
format | shell | cppcheck | tidy | tidy-one | fix) check=$1 && shift ;;
esac
build=${1:-build-test-clang}

case $check in
all)
    status=0
    for one in format shell cppcheck tidy; do
        echo "lint: $one" >&2
        "lint_$one" || status=1
    done
    exit $status
    ;;
fix) files '*.c' '*.h' '*.cc' | xargs clang-format -i ;;
tidy-one) tidy_one "$@" ;;
*) "lint_$check" ;;
esac
