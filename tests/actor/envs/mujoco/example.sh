#!/usr/bin/env bash
# Trains a little on the example, with the program itself: example.sh POLYAK BALANCE_XML
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
result=$("$1" train --env "mujoco:$2" --env-options mark_cost_weight=0.5 --actors 1 --seed 1 \
    --total-env-steps 600 --warmup-env-steps 200 --hidden 16,16 --eval-episodes 2 \
    --run-dir "$work/run" --json 2>"$work/log") || { cat "$work/log" && exit 1; }
echo "$result"
case $result in
*'"env_steps":600,'*) ;;
*) echo "it did not train 600 steps" && exit 1 ;;
esac
