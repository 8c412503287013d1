#!/usr/bin/env bash
# Trains one environment with several seeds, one run after the other, evaluates each on fresh seeds,
# and prints a Markdown table: how the figures of docs/results.md were made.
#
#   scripts/learning.sh ENV ACTORS FIRST_SEED LAST_SEED EPISODES newest|best [FLAG...]
#
# Needs a build (scripts/train.sh makes one) and jq. More flags go to `polyak train`. The evaluation
# uses seed 1000, which no run trains or evaluates with.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -lt 6 ]; then
    echo "usage: scripts/learning.sh ENV ACTORS FIRST_SEED LAST_SEED EPISODES newest|best [FLAG...]" >&2
    exit 2
fi
command -v jq >/dev/null || { echo "learning.sh: jq is missing: apt-get install jq" >&2 && exit 1; }
env=$1 actors=$2 first=$3 last=$4 episodes=$5 which=$6
shift 6
polyak=${POLYAK_BIN:-build/bin}/polyak
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "| actors | seed | env steps | updates | wall s | evaluated at | return | ± |"
echo "|---|---|---|---|---|---|---|---|"
for seed in $(seq "$first" "$last"); do
    run=$scratch/$seed
    if ! trained=$("$polyak" train --env "$env" --actors "$actors" --seed "$seed" --run-dir "$run" \
        --json "$@" 2>"$scratch/log" | tail -n 1); then
        tail -n 5 "$scratch/log" >&2
        exit 1
    fi
    evaluated=$("$polyak" eval --run-dir "$run" --checkpoint "$which" --episodes "$episodes" \
        --seed 1000 --json 2>"$scratch/log" | tail -n 1)
    jq -rn --argjson t "$trained" --argjson e "$evaluated" --arg a "$actors" --arg s "$seed" \
        'def two: . * 100 | round / 100;
         "| \($a) | \($s) | \($t.env_steps) | \($t.updates) | \($t.wall_s * 10 | round / 10) | " +
         "\($e.env_steps) | \($e.return_mean | two) | \($e.return_std | two) |"'
    rm -rf "$run"
done
