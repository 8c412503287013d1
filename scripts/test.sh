#!/usr/bin/env bash
# Installs what is missing, builds with AddressSanitizer and UBSan by gcc and by clang, runs all
# tests of both, and the lint; then, in a release build, the tests that are quick, the limits on
# memory and processor time, and what computes with lesser instruction sets. The last line is the sum:
# "N passed, N failed".
#
# The tests of MuJoCo and Gymnasium need wheels from PyPI, and those of Kubernetes a kubectl of 1.21 or
# newer, which Debian 12 has not. What is skipped for want of such things is named at the end, with why.
#
#   scripts/test.sh            all; needs no network once everything is installed
#   scripts/test.sh --quick    gcc only, without the lint and the release build
set -euo pipefail
cd "$(dirname "$0")/.."

quick=no
case ${1:-} in
'') ;;
--quick) quick=yes ;;
*)
    echo "usage: scripts/test.sh [--quick]" >&2
    exit 2
    ;;
esac

scripts/setup.sh test
wheels_note=''
if ! scripts/setup.sh --mujoco; then
    wheels_note='MUJOCO AND GYMNASIUM WERE NOT TESTED: their wheels could not be installed (see the top)'
    echo "$wheels_note" >&2
fi

export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

# LeakSanitizer stops its own process with ptrace, which some containers forbid; then every program
# would fail at its end. Say so loudly, and look for all other errors.
leaks_note=''
check_leak_sanitizer() {
    local probe
    probe=$(mktemp)
    echo 'int main(void) { return 0; }' | gcc -fsanitize=address -x c - -o "$probe"
    if ! "$probe" >"$probe.out" 2>&1; then
        grep -q LeakSanitizer "$probe.out" || { cat "$probe.out" >&2 && exit 1; }
        leaks_note='LEAKS WERE NOT LOOKED FOR: LeakSanitizer cannot run here (is ptrace forbidden?)'
        export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
        echo "$leaks_note" >&2
    fi
    rm -f "$probe" "$probe.out"
}

# The number that an attribute of ctest's report has.
reported() { # FILE ATTRIBUTE
    sed -n "1,/>/s/.*[[:space:]]$2=\"\([0-9]*\)\".*/\1/p" "$1" | head -n 1
}

# What of ctest's report was skipped, and why: whole tests, and parts of those that passed.
skips_of() { # REPORT PRESET
    awk -v preset="$2" '
        match($0, /<testcase name="[^"]*"/) {
            name = substr($0, RSTART + 16, RLENGTH - 17)
            whole = /status="(notrun|disabled)"/
            why = ""
        }
        whole && match($0, /skipped: .*/) { why = substr($0, RSTART + 9) }
        !whole && match($0, /\.\.\. skipped .*/) { print preset ": " name ", in part: " substr($0, RSTART + 12) }
        whole && /<\/testcase>/ { print preset ": " name (why == "" ? "" : ": " why) }
    ' "$1" | sed "s/<.*//; s/&apos;/'/g; s/&quot;/\"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g"
}

passed=0 failed=0 skipped=0 skipped_names=''
test_configuration() { # PRESET [WHICH_TESTS...], for ctest
    local preset=$1 report=$PWD/build-$1/ctest.xml tests failures skips
    shift
    printf '\n=== %s\n' "$preset"
    if ! scripts/build.sh "$preset"; then
        echo "$preset: does not build"
        failed=$((failed + 1))
        return
    fi
    rm -f "$report"
    ctest --test-dir "build-$preset" --parallel "$(nproc)" --output-on-failure --timeout 300 \
        --no-tests=error --output-junit "$report" --test-output-size-passed 100000 "$@" || true
    if ! [ -s "$report" ]; then
        echo "$preset: ctest left no report"
        failed=$((failed + 1))
        return
    fi
    tests=$(reported "$report" tests)
    failures=$(reported "$report" failures)
    skips=$(($(reported "$report" skipped) + $(reported "$report" disabled)))
    passed=$((passed + tests - failures - skips))
    failed=$((failed + failures))
    skipped=$((skipped + skips))
    skipped_names+=$(skips_of "$report" "$preset")
    skipped_names=${skipped_names:+${skipped_names%$'\n'}$'\n'}
}

check_leak_sanitizer
test_configuration test-gcc
if [ $quick = no ]; then
    # And the lint: clang-tidy wants clang's flags. Whole programs were tested with sanitizers above.
    test_configuration test-clang --exclude-regex '^(e2e|cli)\.'
    # As it is used, packed and started. What a sanitizer takes itself, of memory and of time, would
    # hide what the programs take; other whole runs were tested above.
    test_configuration test-release \
        --tests-regex '^(common|proto|net|actor|learner|relay|sim|deploy)\.|^e2e\.(memory|quiet|old_cpu)$'
    # As it is used on lesser CPUs.
    if grep -qw avx2 /proc/cpuinfo; then
        echo 'The same programs, held to AVX2'
        POLYAK_ISA=avx2 OPENBLAS_CORETYPE=Haswell test_configuration test-release \
            --tests-regex '^(common|actor|learner)\.'
    fi
    if [ "$(uname -m)" = x86_64 ]; then
        echo 'The same programs, held to SSE2'
        POLYAK_ISA=sse2 OPENBLAS_CORETYPE=Nehalem test_configuration test-release \
            --tests-regex '^(common|proto|actor|learner|sim)\.|^e2e\.(train|sync|restart)$'
    fi
fi

printf '\n'
[ -z "$leaks_note" ] || echo "$leaks_note"
[ -z "$wheels_note" ] || echo "$wheels_note"
[ -z "$skipped_names" ] || printf 'Skipped:\n%s' "$skipped_names" | awk '!seen[$0]++'
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ] && [ $passed -gt 0 ]
