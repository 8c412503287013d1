#!/usr/bin/env bash
# Configures (when needed) and builds one preset of CMakePresets.json, with all cores.
#
#   scripts/build.sh release       programs in build/bin
#   scripts/build.sh test-gcc      tests in build-test-gcc; likewise test-clang and test-release
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?usage: scripts/build.sh release|test-gcc|test-clang|test-release}
case $preset in
release) directory=build ;;
*) directory=build-$preset ;;
esac

# What scripts/setup.sh --mujoco installed; nothing where it never ran.
wheels() { # DIRECTORY
    cat "$1/requirements.txt" 2>/dev/null || true
}

# A tree that was moved, a configuration that failed half-way, or one of an older preset or of other
# wheels, is configured afresh.
if ! [ -e "$directory/build.ninja" ] || [ CMakePresets.json -nt "$directory/CMakeCache.txt" ] ||
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$directory/CMakeCache.txt" ||
    [ "$(wheels .venv)" != "$(wheels "$directory")" ]; then
    cmake --preset "$preset" --fresh --log-level=NOTICE
    rm -f "$directory/lib/polyak/env_mujoco.so" # it may not be built any more
    wheels .venv >"$directory/requirements.txt"
fi
cmake --build "$directory" --parallel "$(nproc)"
