#!/usr/bin/env bash
# Installs what is missing, builds, and trains a policy.
#
#   scripts/train.sh                                       pendulum, in a new directory under runs/
#   scripts/train.sh --env mountain_car_continuous --seed 3
#
# All arguments go to `build/bin/polyak train`; `scripts/train.sh --help` lists them. Only what
# `polyak train` prints goes to stdout.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh build
scripts/build.sh release >&2

# The environment and the run directory, where the arguments name them.
env='' run_dir='' previous='' only_text=no
for argument in "$@"; do
    case $previous in
    --env) env=$argument ;;
    --run-dir) run_dir=$argument ;;
    esac
    case $argument in
    --env=*) env=${argument#*=} ;;
    --run-dir=*) run_dir=${argument#*=} ;;
    --help | -\? | --usage | --version | -V) only_text=yes ;;
    esac
    previous=$argument
done
[ $only_text = no ] || exec build/bin/polyak train "$@"

defaults=()
if [ -z "$env" ]; then
    env=pendulum
    defaults+=(--env "$env")
fi
if [ -z "$run_dir" ]; then
    name=$(basename "$env" .so)
    run_dir=runs/${name//[^A-Za-z0-9_.-]/_}-$(date +%Y%m%d-%H%M%S)
    while [ -e "$run_dir" ]; do run_dir+=x; done
    defaults+=(--run-dir "$run_dir")
fi

build/bin/polyak train "${defaults[@]}" "$@"

cat >&2 <<END

The run is in $run_dir. To go on from here:
  build/bin/polyak eval --run-dir $run_dir --episodes 100
  build/bin/polyak train --help
Watch a run while it trains: build/bin/polyak status --connect ENDPOINT
END
