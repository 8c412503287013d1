#!/usr/bin/env bash
# Trains the example with the program itself, as docs/mujoco.md says:
#
#   example.sh POLYAK BALANCE_XML [short]
#
# An episode has 300 steps with a reward of at most 1. A policy that does nothing gets about 20, and
# what is learned here about 280; less than 240, or more than 300, means that rewards, resets or the
# learning are not what they were. The best policy counts: the last one may just be in a swing.
# `short`, for a build that is slow, looks only at whether it trains at all.
set -euo pipefail
polyak=$1 model=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $1" && tail -n 20 "$work"/*.log && exit 1; }

train() {
    "$polyak" train --env "mujoco:$model" --actors 1 --seed 1 "$@" --run-dir "$work/run" --json \
        2>"$work/train.log" || fail "it does not train"
}

if [ "${3:-}" = short ]; then
    result=$(train --env-options mark_cost_weight=0.5 --total-env-steps 600 --warmup-env-steps 200 \
        --hidden 16,16 --eval-episodes 2)
    echo "$result"
    [[ $result == *'"env_steps":600,'* ]] || fail "it did not train 600 steps"
    exit 0
fi

train --total-env-steps 20000 --warmup-env-steps 2000 --hidden 64,64 --batch 128 --tau 0.005 \
    --actor-lr 5e-4 --critic-weight-decay 0 --eval-interval-env-steps 2000
result=$("$polyak" eval --run-dir "$work/run" --checkpoint best --episodes 20 --json \
    2>"$work/eval.log") || fail "its policy cannot be evaluated"
echo "$result"
mean=$(sed -n 's/.*"return_mean":\([-0-9.e+]*\).*/\1/p' <<<"$result")
awk -v mean="$mean" 'BEGIN { exit !(mean != "" && mean >= 240 && mean <= 300) }' ||
    fail "the best policy has a return of $mean, not of 240 to 300"
