#!/usr/bin/env bash
# Records Gymnasium's tasks, and replays them with the plugin:
#
#   parity.sh PARITY_TEST PLUGIN LIBMUJOCO
#
# Exit code 77, and a line that says why, where there is no Gymnasium for this MuJoCo.
set -euo pipefail
test=$1 plugin=$2 library=$3
here=$(cd "$(dirname "$0")" && pwd)

skip() { echo "skipped: $1" && exit 77; }

# The Python that the library belongs to: …/bin/python for …/lib/python3.X/site-packages/mujoco/….
root=${library%/lib/python3*}
[ "$root" != "$library" ] || skip "$library is not in a Python environment"
python=$root/bin/python
[ -x "$python" ] || skip "$python is not there"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # where MuJoCo's Python bindings leave MUJOCO_LOG.TXT
"$python" -c 'import gymnasium, mujoco' 2>/dev/null || skip "$python has no gymnasium and mujoco"
"$python" "$here/record.py" trace.txt 2>record.log || { cat record.log && exit 1; }
rm -f MUJOCO_LOG.TXT
"$test" trace.txt "$plugin"
if [ -e MUJOCO_LOG.TXT ]; then
    echo "the plugin left a MUJOCO_LOG.TXT" && exit 1
fi
