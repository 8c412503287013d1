#!/usr/bin/env bash
# Polyak as a person has it who did not build it: installed below a prefix, far from the tree. Two
# plugins, in C by pkg-config and in C++ by CMake, are built against what is installed and by what
# docs/environments.md says; they are checked, trained and evaluated.
#
#   install_test.sh BUILD CC CXX
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 cc=$2 cxx=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

fail() {
    echo "install_test.sh: $1" >&2
    exit 1
}

cmake --install "$build" --prefix "$prefix" >"$scratch/install.log" ||
    { cat "$scratch/install.log" && fail "cmake --install failed"; }
for file in bin/polyak bin/polyak-learner bin/polyak-actor bin/polyak-plugin-check \
    include/polyak/env.h lib/cmake/PolyakEnv/PolyakEnvConfig.cmake lib/pkgconfig/polyak-env.pc \
    lib/systemd/system/polyak-learner.service \
    share/doc/polyak/LICENSE share/doc/polyak/docs/environments.md \
    share/doc/polyak/examples/plugin/reacher.c; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
done

grep -q "^ExecStart=$prefix/bin/polyak-learner " "$prefix/lib/systemd/system/polyak-learner.service" ||
    fail "the learner's unit does not start what is installed"

# Nothing of the tree is needed from here on.
cp -r "$here/line.c" "$here/tank" "$scratch"
cd "$scratch"
PATH=$prefix/bin:$PATH

flags=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags polyak-env)
# shellcheck disable=SC2086 # it is a list of flags
"$cc" -std=c11 -O2 -Wall -Wextra -Wconversion -Werror -shared -fPIC $flags -o line.so line.c -lm
cmake -S tank -B build-tank -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_BUILD_TYPE=Release >cmake.log || { cat cmake.log && fail "tank is not configured"; }
cmake --build build-tank >cmake.log || { cat cmake.log && fail "tank is not built"; }

try() { # ENV OPTIONS NAME
    local run=run-$3 json
    polyak-plugin-check "$1" "$2" | tee check.log
    grep -q "^$3: .* all good$" check.log || fail "polyak-plugin-check does not say that $3 is good"
    json=$(polyak train --env "$1" --env-options "$2" --actors 1 --seed 1 --run-dir "$run" \
        --total-env-steps 2000 --warmup-env-steps 500 --hidden 16,16 --batch 32 \
        --replay-capacity 10000 --json 2>train.log | tail -n 1) ||
        { cat train.log >&2 && fail "polyak train fails with $3"; }
    grep -q '"env_steps":2000,' <<<"$json" || fail "the training of $3 ended with: $json"
    json=$(polyak eval --run-dir "$run" --episodes 3 --seed 7 --json 2>eval.log | tail -n 1) ||
        { cat eval.log >&2 && fail "polyak eval fails with $3"; }
    grep -q '"episodes":3,' <<<"$json" || fail "the evaluation of $3 ended with: $json"
}

try ./line.so '' line
try build-tank/tank.so leak=0.7 tank

status=0
polyak-plugin-check build-tank/tank.so leak=much >refused.log 2>&1 || status=$?
[ $status -eq 2 ] || fail "a bad option gives the exit code $status, not 2: $(cat refused.log)"
grep -q 'needs a number' refused.log || fail "a plugin's own words are lost: $(cat refused.log)"
status=0
polyak-plugin-check ./nowhere.so 2>refused.log || status=$?
[ $status -eq 2 ] || fail "a plugin that is not there gives the exit code $status, not 2"

# The installed programs find their own plugin beside them. What the system's graphics drivers leak when
# it draws is not looked for.
if [ -e "$prefix/lib/polyak/env_mujoco.so" ]; then
    ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 polyak-plugin-check mujoco:InvertedPendulum-v5
else
    echo "MuJoCo is not in this build, so mujoco: was not tried"
fi
