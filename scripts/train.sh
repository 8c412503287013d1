#!/usr/bin/env bash
# Installs what is missing, builds, and trains a policy.
#
#   scripts/train.sh                                       pendulum, in a new directory under runs/
#   scripts/train.sh --env mountain_car_continuous --seed 3
#   scripts/train.sh --env mujoco:HalfCheetah-v5           after scripts/setup.sh --mujoco
#   scripts/train.sh --env gymnasium:LunarLanderContinuous-v3
#
# All arguments go to `build/bin/polyak train`; `scripts/train.sh --help` lists them. Only what
# `polyak train` prints goes to stdout. Gymnasium is the one of .venv, unless --python names another.
set -euo pipefail
# Paths in the arguments are the caller's, so the directory is not changed.
root=$(realpath --relative-to=. "$(dirname "$0")/..")

# The environment, its Python and the run directory, where the arguments name them.
env='' python='' run_dir='' previous='' only_text=no resume=no
for argument in "$@"; do
    case $previous in
    --env) env=$argument ;;
    --python) python=$argument ;;
    --run-dir) run_dir=$argument ;;
    esac
    case $argument in
    --env=*) env=${argument#*=} ;;
    --python=*) python=${argument#*=} ;;
    --run-dir=*) run_dir=${argument#*=} ;;
    --resume | --resume=true) resume=yes ;;
    --help | -\? | --usage | --version | -V) only_text=yes ;;
    esac
    previous=$argument
done

# What is not there is better said before a build than after it.
need_wheels() { # PACKAGE, as it is called for people
    if [ $only_text = yes ] ||
        compgen -G "$root/.venv/lib/python3*/site-packages/${1,,}" >/dev/null; then return; fi
    echo "scripts/train.sh: $env needs the wheels of $1; install them first:" >&2
    echo "    $root/scripts/setup.sh --mujoco" >&2
    exit 2
}

defaults=()
case $env in
mujoco:*)
    # A build may have found another MuJoCo than that of .venv.
    [ -e "$root/build/lib/polyak/env_mujoco.so" ] || need_wheels MuJoCo
    ;;
gymnasium:*)
    if [ -z "$python" ]; then
        need_wheels Gymnasium
        # An absolute path: the run remembers it, and may be resumed from elsewhere.
        defaults+=(--python "$(cd "$root" && pwd)/.venv/bin/python")
    fi
    ;;
esac

"$root/scripts/setup.sh" build
"$root/scripts/build.sh" release >&2
[ $only_text = no ] || exec "$root/build/bin/polyak" train "$@"

# A run that is resumed knows its environment.
if [ -z "$env" ] && [ $resume = no ]; then
    env=pendulum
    defaults+=(--env "$env")
fi
if [ -z "$run_dir" ]; then
    name=$(basename "${env:-run}" .so)
    run_dir=$root/runs/${name//[^A-Za-z0-9_.-]/_}-$(date +%Y%m%d-%H%M%S)
    while [ -e "$run_dir" ]; do run_dir+=x; done
    defaults+=(--run-dir "$run_dir")
fi

"$root/build/bin/polyak" train "${defaults[@]}" "$@"

cat >&2 <<END

The run is in $run_dir. The programs are in $root/build/bin:
  $root/build/bin/polyak eval --run-dir $run_dir --episodes 100
  $root/build/bin/polyak status --connect ENDPOINT    # while a run trains; its log names the endpoint
END
