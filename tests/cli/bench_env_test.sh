#!/usr/bin/env bash
# `polyak bench env`: what it measures, what it refuses, and that it leaves nothing behind.
set -uo pipefail
polyak=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

refused() { # EXCERPT ARGUMENT...
    local excerpt=$1 got
    shift
    "$polyak" bench env "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = 2 ] || fail "$*: exit code $got"
    [ ! -s out ] || fail "$*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "$*: not one line on stderr"
    grep -qF -- "$excerpt" err || fail "$*: does not say \"$excerpt\""
}

# figure KEY: is there, and above 0.
figure() { grep -qE "\"$1\":[0-9.e+]*[1-9]" out || fail "$measured: no $1"; }

measure() {
    measured=$*
    "$polyak" bench env --seconds 0.05 --json "$@" >out 2>err </dev/null || fail "$measured: failed"
    for key in steps_per_s actor_steps_per_s ratio steps_per_cpu_s actor_steps_per_cpu_s \
        ratio_per_cpu_s actor_steps_per_s_min ratio_max; do
        figure "$key"
    done
}

refused '--env is missing'
refused "did you mean 'pendulum'?" --env pendulun
refused '--mode belongs to' --env pendulum --mode log
refused 'its only option is step_ms=N' --env pendulum --env-options a=b
refused 'is a flag of' --env pendulum --actors 2

measure --env pendulum
grep -q '"hidden_1":256,"hidden_2":256,' out || fail "the policy is not that of the comparison"
grep -q '"envs_per_actor":1,' out || fail "not one environment"
measure --env pendulum --envs-per-actor 3 --hidden 32
grep -q '"hidden_1":32,"cores"' out || fail "not the policy that was asked for"
grep -q '"envs_per_actor":3,' out || fail "not the environments that were asked for"
if [ -e "$(dirname "$polyak")/../lib/polyak/env_mujoco.so" ]; then
    measure --env mujoco:HalfCheetah-v5
else
    echo "SKIPPED: mujoco: this build has none (scripts/setup.sh --mujoco)"
fi

env --default-signal=INT "$polyak" bench env --env pendulum --seconds 100 >out 2>err </dev/null &
pid=$!
for _ in $(seq 200); do
    children=$(cat /proc/$pid/task/$pid/children 2>/dev/null)
    [ "$(wc -w <<<"$children")" = 2 ] && break
    sleep 0.05
done
[ "$(wc -w <<<"$children")" = 2 ] || fail "no learner and no actor"
sleep 0.3
said=$(readlink "/proc/${children%% *}/fd/2") # in the benchmark's directory
[[ $said = */polyak-bench-*/stderr ]] || fail "its directory is not found: $said"
kill -INT $pid
wait $pid
[ $? = 1 ] || fail "a stop is no success"
grep -q 'stopped by a signal' err || fail "a stop is not told"
for child in $children; do
    ! kill -0 "$child" 2>/dev/null || fail "process $child is left"
done
[ ! -e "$(dirname "$said")" ] || fail "$said is left"

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
