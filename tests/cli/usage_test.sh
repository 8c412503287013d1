#!/usr/bin/env bash
# The program as a person meets it: what it refuses, with which exit code and how many words.
set -uo pipefail
polyak=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

# expect CODE EXCERPT ARGUMENT...: the exit code; nothing on stdout and one line with the excerpt on
# stderr; nothing made.
expect() {
    local code=$1 excerpt=$2 got
    shift 2
    "$polyak" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || fail "polyak $*: exit code $got, not $code"
    [ ! -s out ] || fail "polyak $*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "polyak $*: not one line on stderr"
    grep -qF -- "$excerpt" err || fail "polyak $*: does not say \"$excerpt\""
    [ ! -e runs ] || fail "polyak $*: made runs/"
}

# show EXCERPT ARGUMENT...: exit code 0 and the excerpt on stdout.
show() {
    local excerpt=$1
    shift
    "$polyak" "$@" >out 2>err </dev/null || fail "polyak $*: failed"
    grep -qF -- "$excerpt" out || fail "polyak $*: does not show \"$excerpt\""
    [ ! -s err ] || fail "polyak $*: something on stderr"
}

show 'Commands:' --help
show 'Commands:' help
show 'polyak ' --version
show '--total-env-steps' train --help
show '--checkpoint' eval --help
show '--connect' status --help
show 'KEY=VALUE' set --help
show 'polyak drain NAME' drain --help
show 'broadcast' bench --help
show '--peers' bench ingest --help

expect 2 'a command is needed'
expect 2 'did you mean "train"?' trian
expect 2 'did you mean "status"?' statis
expect 2 'see polyak --help' --frobnicate
expect 2 'see polyak --help' quux
expect 2 '--env is missing' train
expect 2 "did you mean 'pendulum'?" train --env pendulun
expect 2 'there is no such file' train --env ./missing.so
expect 2 '--sigma' train --env pendulum --sigme 0.1
expect 2 'gamma' train --env pendulum --gamma 2
expect 2 'actors' train --env pendulum --actors 0
expect 2 'warmup_env_steps' train --env pendulum --warmup-env-steps 100 --total-env-steps 100
expect 2 '--run-dir' train --env pendulum --resume
expect 2 'extra' train --env pendulum extra
expect 2 '--episodes' eval --run-dir nowhere --episods 3
expect 2 'no endpoint' status --connect nonsense
expect 2 'KEY=VALUE' set
expect 2 'KEY=VALUE' set --connect tcp://127.0.0.1:9
expect 2 'KEY=VALUE' set updates_per_env_step
expect 2 'unexpected' set updates_per_env_step=1 more
expect 2 'unexpected' set --json updates_per_env_step=1 more
expect 2 'KEY=VALUE' set --connect tcp://127.0.0.1:9 updates_per_env_step
expect 2 'no endpoint' set --connect nonsense actor_lr=0.1
expect 2 'no endpoint' set --connect=nonsense actor_lr=0.1
expect 2 'no endpoint' set --json actor_lr=0.1 --connect nonsense
expect 2 'needs a value' set actor_lr=0.1 --connect
expect 2 '--conect' set --conect tcp://127.0.0.1:9 actor_lr=0.1
expect 2 'polyak drain NAME' drain
expect 2 'polyak drain NAME' drain ''
expect 2 'no endpoint' drain node7 --connect nonsense
expect 2 'no endpoint' drain --connect nonsense node7
expect 2 'polyak drain NAME' drain --connect nonsense ''
expect 2 'say what to measure' bench
expect 2 'say what to measure' bench updates
expect 2 '--env is missing' bench env
expect 1 'nowhere' eval --run-dir nowhere
expect 1 'missing.safetensors' eval --checkpoint ./missing.safetensors
expect 1 'no learner answers at' status --connect tcp://127.0.0.1:9
expect 1 'no learner answers at' set actor_lr=0.1 --connect tcp://127.0.0.1:9
expect 1 'no learner answers at' set --connect tcp://127.0.0.1:9 actor_lr=0.1

mkdir -p early/checkpoints
: >early/checkpoints/best.safetensors
expect 1 '--checkpoint best' eval --run-dir early
expect 2 'there is no run in nonesuch' train --run-dir nonesuch --resume

mkdir held
echo 'env: pendulum' >held/config.yaml
expect 2 'holds a run already' train --env pendulum --run-dir held

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
