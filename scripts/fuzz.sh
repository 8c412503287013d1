#!/usr/bin/env bash
# Searches every decoder for inputs that break it, with libFuzzer (clang), from seeds that the build
# makes; says how much was tried and covered, and exits with 1 when something was found. The last
# line is the sum.
#
#   scripts/fuzz.sh [SECONDS]                 every target for SECONDS (60), as many at once as cores
#   scripts/fuzz.sh one BUILD TARGET SECONDS  one, of a build with POLYAK_FUZZ, as ctest runs it
#
# POLYAK_TEST_SEED repeats a search. What was found stays in BUILD/fuzz/TARGET, and so does the log.
set -euo pipefail
cd "$(dirname "$0")/.."

build='build-test-clang'

number() { # TEXT: whether it is one
    [[ $1 =~ ^[1-9][0-9]*$ ]]
}

usage() {
    echo "usage: scripts/fuzz.sh [SECONDS] | one BUILD TARGET SECONDS" >&2
    exit 2
}

# The value of one of libFuzzer's last statistics.
statistic() { # LOG NAME
    sed -n "s/^stat::$2: *//p" "$1" | tail -n 1
}

# A figure of libFuzzer's last line about its progress, such as cov or ft.
figure() { # LOG NAME
    sed -n "s/^#.*[[:space:]]$2: \([0-9]*\).*/\1/p" "$1" | tail -n 1
}

search_one() { # BUILD TARGET SECONDS
    local build=$1 target=$2 seconds=$3
    local work=$build/fuzz/$target seed status=0 found
    local log=$work/log
    [ -x "$build/tests/fuzz.$target" ] || {
        echo "scripts/fuzz.sh: there is no $build/tests/fuzz.$target: build with -DPOLYAK_FUZZ=ON" >&2
        exit 2
    }
    seed=${POLYAK_TEST_SEED:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
    rm -rf "$work/corpus"
    mkdir -p "$work/corpus" "$work/found"
    echo "$target: POLYAK_TEST_SEED=$seed"
    POLYAK_TEST_SEED=$seed "$build/tests/fuzz.driver.$target" --seeds "$work/corpus" 200 >"$log"
    "$build/tests/fuzz.$target" -seed="$seed" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$work/found/" \
        "$work/corpus" >>"$log" 2>&1 || status=$?
    found=$(find "$work/found" -type f -newer "$work/corpus/seed-0000" | wc -l)
    printf '%-12s %10s executions, coverage %5s, features %6s, %s found\n' "$target" \
        "$(statistic "$log" number_of_executed_units)" "$(figure "$log" cov)" \
        "$(figure "$log" ft)" "$found"
    [ $status -eq 0 ] && return
    grep -v '^#[0-9]' "$log" | tail -n 50
    echo "$target: FAILED; the log is $log. Again, for each that was found:"
    find "$work/found" -type f -newer "$work/corpus/seed-0000" \
        -exec echo "    $build/tests/fuzz.driver.$target --file" {} \;
    return 1
}

search_all() { # SECONDS
    local seconds=$1 report targets failed=0 log
    cmake --preset test-clang --log-level=NOTICE
    cmake --build "$build" --parallel "$(nproc)" --target fuzzers
    mapfile -t targets < <(find "$build/tests" -name 'fuzz.driver.*' -type f -printf '%f\n' |
        sed 's/^fuzz\.driver\.//' | sort)
    report=$(mktemp)
    printf '%s\n' "${targets[@]}" |
        xargs -P "$(nproc)" -I{} "$0" one "$build" {} "$seconds" | tee "$report" || failed=1
    log=$(awk '/ executions, / { sum += $2; n++ } END { printf "%d targets, %.0f executions", n, sum }' \
        "$report")
    rm -f "$report"
    if [ $failed -eq 0 ]; then echo "$log, nothing found"; else echo "$log, SOMETHING WAS FOUND"; fi
    return $failed
}

case ${1:-60} in
one)
    if [ $# -ne 4 ] || ! number "$4"; then usage; fi
    search_one "$2" "$3" "$4"
    ;;
*)
    if [ $# -gt 1 ] || ! number "${1:-60}"; then usage; fi
    search_all "${1:-60}"
    ;;
esac
