#!/usr/bin/env bash
# `polyak envs`: what there is here, why something is not, and what one environment is. Gymnasium is
# a module that this test writes.
set -uo pipefail
polyak=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

# shows EXCERPT: in the answer that came last.
shows() { grep -qF -- "$1" out || fail "$asked: does not show \"$1\""; }
hides() { ! grep -qF -- "$1" out || fail "$asked: shows \"$1\""; }

# ask ARGUMENT...: an answer without a complaint.
ask() {
    asked=$*
    "$polyak" envs "$@" >out 2>err </dev/null || fail "$asked: failed"
    [ ! -s err ] || fail "$asked: something on stderr"
}

# refused CODE EXCERPT ARGUMENT...
refused() {
    local code=$1 excerpt=$2 got
    shift 2
    "$polyak" envs "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || fail "$*: exit code $got, not $code"
    [ ! -s out ] || fail "$*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "$*: not one line on stderr"
    grep -qF -- "$excerpt" err || fail "$*: does not say \"$excerpt\""
}

# --- All of them ---------------------------------------------------------------------------------

ask --python no-such-python
grep -qE '^pendulum +3 +1 +200$' out || fail "the pendulum is not listed"
shows 'Gymnasium: not here: there is no Python no-such-python'
ask --json --python no-such-python
[ "$(wc -l <out)" = 1 ] || fail "not one line of JSON"
shows '{"env":"cartpole_swingup","obs_dim":5,"act_dim":1,"step_limit":1000}'
shows '"gymnasium":{"available":false,"reason":"there is no Python'

POLYAK_PLUGIN_DIR=$work/nowhere ask --python no-such-python
shows 'MuJoCo: not here: '
shows 'run scripts/setup.sh --mujoco'
POLYAK_PLUGIN_DIR=$work/nowhere refused 1 'run scripts/setup.sh --mujoco' mujoco:Ant-v5

if command -v python3 >/dev/null; then
    mkdir -p has/gymnasium has/there none/gymnasium
    : >has/there/__init__.py
    cat >has/gymnasium/__init__.py <<'END'
import sys
from types import SimpleNamespace
print("a module that talks")
print("a warning", file=sys.stderr)
__version__ = "9.8"
registry = {}
def _raise_too_old(*args): pass
def add(id, entry):
    path, dash, version = id.rpartition("-v")
    space, _, name = path.rpartition("/")
    registry[id] = SimpleNamespace(id=id, namespace=space or None, name=name, version=int(version),
                                   entry_point=entry)
add("Hill-v2", "gymnasium.envs.classic_control.hill:Hill")
add("Hill-v10", "gymnasium.envs.classic_control.hill:Hill")
add("Hill-v11", _raise_too_old)
add("lab/Hill-v0", "there.hill:Hill")
add("lab/Arm-v0", "nowhere_to_be_found.arm:Arm")
END
    echo 'raise ImportError("no luck")' >none/gymnasium/__init__.py
    PYTHONPATH=$work/has ask --python python3
    shows 'Gymnasium 9.8 of '
    grep -qE '^  classic_control +Hill-v10$' out || fail "the newest Hill is not listed alone"
    grep -qE '^  there +lab/Hill-v0$' out || fail "a name space is not listed"
    shows '1, without the Python package nowhere_to_be_found'
    hides 'a module that talks'
    PYTHONPATH=$work/has ask --python python3 --json
    shows '"groups":{"classic_control":{"lacks":null,"environments":["Hill-v10"]}'
    PYTHONPATH=$work/none ask --python python3
    shows 'cannot import gymnasium (no luck): run scripts/setup.sh --mujoco'
    printf '#!/bin/sh\necho nonsense\n' >talks
    printf '#!/bin/sh\necho "cannot go on" >&2\nexit 1\n' >fails
    chmod +x talks fails
    ask --python ./talks
    shows "Gymnasium: not here: Python's answer cannot be read"
    ask --python ./fails
    shows 'Gymnasium: not here: ./fails: cannot go on'
else
    echo "SKIPPED: Gymnasium: there is no python3"
fi

# --- One of them ---------------------------------------------------------------------------------

ask pendulum
shows 'action bounds  -2 … 2'
shows 'step limit     200'
shows 'a step lasts   0.05 s'
shows 'total_env_steps=10000'
shows 'picture        yes'
shows 'saves states   yes'
shows 'options        step_ms=N'
ask pendulum --json
shows '"env":"pendulum","name":"pendulum","obs_dim":3,"act_dim":1,"action_low":[-2.0]'
shows '"step_s":0.050'
shows '"gamma":"0.98"'
shows '"picture":true,"saves_state":true'
ask mountain_car_continuous --json
shows '"step_s":null'

refused 2 "did you mean 'pendulum'?" pendulun
refused 2 "did you mean 'gymnasium:Zebra-v1'?" Zebra-v1
refused 2 'there is no such file' ./missing.so
refused 2 'its only option is step_ms=N' pendulum --env-options a=b
refused 2 'empty' ''
refused 2 'unexpected' pendulum cartpole_swingup
refused 2 'is a flag of' --env pendulum
refused 2 'did you mean --json' --jsn

if [ -e "$(dirname "$polyak")/../lib/polyak/env_mujoco.so" ]; then
    ask --python no-such-python
    shows 'MuJoCo 3.'
    grep -qE '^mujoco:HalfCheetah-v5 +17 +6 +1,000$' out || fail "HalfCheetah is not listed"
    ask mujoco:Ant-v5 --env-options include_cfrc_ext_in_observation=false --json
    shows '"obs_dim":27'
    shows '"name":"mujoco:Ant-v5:'
    refused 2 "did you mean 'mujoco:HalfCheetah-v5'?" mujoco:HalfCheeta
    refused 2 "did you mean 'mujoco:HalfCheetah-v5'?" mujoco:halfcheetah
    refused 2 "did you mean 'mujoco:Hopper-v5'?" Hopper-v5

    # Where the models are is said, and one that is missing hides no other.
    mkdir -p assets none
    ask --python no-such-python
    models=$(sed -n 's/^MuJoCo [^ ]* with the models in \(.*\), or a model of your own.*/\1/p' out)
    [ -e "$models/ant.xml" ] || fail "where the models are is not said"
    cp "$models"/*.xml assets/ && rm assets/hopper*.xml
    export POLYAK_MUJOCO_ASSETS=$work/assets
    ask --python no-such-python
    shows "with the models in $work/assets"
    grep -qE '^mujoco:Ant-v5 +105 +8 +1,000$' out || fail "Ant is not listed"
    grep -qE '^mujoco:Hopper-v5 +not here: .*/hopper[^ ]*\.xml is not there' out ||
        fail "it is not said why there is no Hopper"
    grep -qE '^mujoco:Walker2d-v5 +17 +6 +1,000$' out || fail "what follows Hopper is not listed"
    ask --json --python no-such-python
    shows '"mujoco":{"available":true,'
    shows '{"env":"mujoco:Hopper-v5","available":false,"reason":"'
    shows '{"env":"mujoco:Walker2d-v5","obs_dim":17,'
    POLYAK_MUJOCO_ASSETS=$work/none ask --python no-such-python
    [ "$(grep -c 'is not there' out)" = 1 ] || fail "one cause is said more than once"
    shows 'MuJoCo: not here: '
    unset POLYAK_MUJOCO_ASSETS

    # Files of equal name are other environments when what is in them differs.
    examples=$here/../../examples/mujoco
    mkdir one two
    cp "$examples"/balance.* one
    cp "$examples"/balance.* two
    ask mujoco:one/balance.xml
    one=$(head -n 1 out)
    grep -qE '^mujoco:balance:[0-9a-f]{8}$' out || fail "the name of a file's task has no hash"
    ask mujoco:two/balance.xml
    [ "$(head -n 1 out)" = "$one" ] || fail "equal files have other names"
    sed -i 's/mark_cost_weight/mark_weight/; s/weight: 0.01/weight: 0.02/' two/balance.yaml
    ask mujoco:two/balance.xml
    [ "$(head -n 1 out)" != "$one" ] || fail "another reward has the same name"
else
    echo "SKIPPED: MuJoCo's tasks: this build has none (scripts/setup.sh --mujoco)"
fi

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
