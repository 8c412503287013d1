#!/usr/bin/env bash
# polyak rerun and polyak inspect, on the logs of a short training: sound, tampered with, missing.
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

# polyak_says CODE EXCERPT FILE ARGUMENT...: the exit code, and the excerpt in `out` or `err`.
polyak_says() {
    local code=$1 excerpt=$2 file=$3 got
    shift 3
    "$polyak" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || fail "polyak $*: exit code $got, not $code"
    grep -qF -- "$excerpt" "$file" || fail "polyak $*: does not say \"$excerpt\""
}

# refuses CODE EXCERPT ARGUMENT...: the exit code, one line, nothing on stdout.
refuses() {
    local code=$1 excerpt=$2
    shift 2
    polyak_says "$code" "$excerpt" err "$@"
    [ ! -s out ] || fail "polyak $*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "polyak $*: not one line on stderr"
}

# flip FILE OFFSET: another byte there; a negative offset counts from the end.
flip() {
    local size offset byte
    size=$(stat -c %s "$1")
    offset=$2
    [ "$offset" -ge 0 ] || offset=$((size + offset))
    byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}

sums() { (cd run && find . -type f ! -name lock -exec sha256sum {} + | sort); }

"$polyak" train --env pendulum --actors 1 --seed 3 --total-env-steps 1200 --warmup-env-steps 200 \
    --hidden 16 --batch 16 --threads 1 --run-dir run --replay-log-keep all \
    --eval-interval-env-steps 0 --progress off >out 2>err || fail "train"
sums >before

# --- Sound

polyak_says 0 "every bit is the same" out rerun --run-dir run --verify
grep -qE '^updates 0 to 1,000, 1,200 env steps' out || fail "rerun: where it began and ended"
polyak_says 0 '"same":true' out rerun --run-dir run --verify --json
[ "$(tail -n 1 out | cut -c 1)" = "{" ] || fail "rerun --json: the last line is no object"
grep -qF '"complete":true' out || fail "rerun --json: not complete"
polyak_says 0 "missing: 0; damaged places: 0" out inspect --run-dir run
grep -qF "its replay against the log: same" out || fail "inspect: the replay of the checkpoint"
polyak_says 0 '"env_steps":1200' out inspect --run-dir run --json
grep -qF '"missing_segments":0' out || fail "inspect --json: missing segments"
polyak_says 0 "threads: 2 here, 1 there" err rerun --run-dir run --threads 2
sums | cmp -s - before || fail "rerun or inspect changed the run directory"

# --- Tampered with

cp -r run kept
last=$(find run/checkpoints -name 'checkpoint-*' | sort | tail -n 1)
flip "$last" -3
polyak_says 1 "1 checkpoint files are damaged: see above" err rerun --run-dir run --verify
polyak_says 0 "damaged checkpoint files, which were not compared: 1" out rerun --run-dir run
rm -rf run && cp -r kept run

log=$(find run/replay -name 'log-*' | sort | head -n 1)
flip "$log" 20000
polyak_says 0 "damaged places: 1" out inspect --run-dir run
grep -qE 'missing: [1-9]' out || fail "inspect: no segment is missing"
grep -qF "at byte" out || fail "inspect: where the damage is"
polyak_says 1 "rerun: " err rerun --run-dir run --verify
rm -rf run && cp -r kept run

# A torn tail is no damage to what was logged.
truncate -s -7 "$log"
polyak_says 0 "a torn tail" out inspect --run-dir run
rm -rf run && cp -r kept run

flip run/replay/order.plog 3000
polyak_says 1 "rerun: the run was not followed to its end" err rerun --run-dir run --verify
rm -rf run && cp -r kept run

# --- Missing

refuses 2 "--run-dir is missing" rerun
refuses 2 "--run-dir is missing" inspect
refuses 1 "there is no nothing/run.json" rerun --run-dir nothing
refuses 1 "there is no nothing/run.json" inspect --run-dir nothing
[ ! -e nothing ] || fail "a directory was made"
rm -r run/replay
refuses 1 "was it run without replay_log?" rerun --run-dir run
refuses 1 "was it run without replay_log?" inspect --run-dir run
echo '{}' >run/run.json
refuses 1 "run.json is damaged" rerun --run-dir run

[ "$failures" = 0 ]
