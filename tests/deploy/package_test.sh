#!/usr/bin/env bash
# The Debian packages, made from the programs of this build: lintian finds nothing, they hold what they
# should, and they are installed into a root of their own. From there a policy is trained, and a plugin
# is built against the package for plugins.
set -euo pipefail
source=$POLYAK_SOURCE_DIR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "package_test.sh: $1" >&2
    exit 1
}

for tool in dpkg-buildpackage dh lintian; do
    command -v $tool >/dev/null || { echo "$tool is not there, so no package is made" && exit 77; }
done

mapfile -t packages < <("$source/scripts/package.sh" "$POLYAK_BUILD_DIR")
[ ${#packages[@]} -eq 2 ] || fail "these are not two packages: ${packages[*]}"
version=$(sed -n 's/^project(polyak VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
[ "$(dpkg-deb -f "${packages[0]}" Package Version | paste -sd ' ')" = \
    "Package: polyak Version: $version" ] || fail "${packages[0]} is of another version"

lintian --allow-root --fail-on warning,error "${packages[@]}" || fail "lintian is not content"
[ "$(grep -vc '^#' "$source/deploy/debian/polyak.lintian-overrides")" -eq 1 ] ||
    fail "more is hidden from lintian than was"

# Installed as dpkg does it, but for what they depend on; not as root, in all but the owners.
root=$scratch/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
touch "$root/var/lib/dpkg/status"
as_root=()
[ "$(id -u)" -eq 0 ] || { command -v fakeroot >/dev/null && as_root=(fakeroot); }
if [ "$(id -u)" -eq 0 ] || [ ${#as_root[@]} -gt 0 ]; then
    "${as_root[@]}" dpkg --root="$root" --force-script-chrootless --force-depends --log="$scratch/log" \
        --install "${packages[@]}" >"$scratch/dpkg" 2>&1 ||
        { cat "$scratch/dpkg" && fail "dpkg does not install them"; }
else
    for package in "${packages[@]}"; do dpkg-deb -x "$package" "$root"; done
fi
[ -z "$(find "$root" -path '*/multi-user.target.wants/*')" ] || fail "a unit is enabled before its time"

for program in polyak polyak-learner polyak-actor polyak-relay polyak-plugin-check; do
    [ -x "$root/usr/bin/$program" ] || fail "$program is not installed"
    zcat "$root/usr/share/man/man1/$program.1.gz" | grep -q "$(echo "^$program - " | sed 's/-/\\\\-/g')" ||
        fail "the manual page of $program does not say what it is"
done
"$root/usr/bin/polyak" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' >"$scratch/commands"
[ "$(wc -l <"$scratch/commands")" -ge 10 ] || fail "the commands are not found"
while read -r command; do
    [ -s "$root/usr/share/man/man1/polyak-$command.1.gz" ] || fail "polyak-$command has no manual page"
done <"$scratch/commands"
zcat "$root/usr/share/man/man1/polyak-actor.1.gz" | grep -qF '.B \-\-envs\-per\-actor=N' ||
    fail "the manual page of polyak-actor lacks its flags"
for unit in "$source"/deploy/systemd/*.service "$source"/deploy/systemd/*.target; do
    cmp -s "$unit" "$root/lib/systemd/system/$(basename "$unit")" ||
        fail "$(basename "$unit") is not installed as it is"
done
for file in README.md docs/security.md deploy/systemd/learner.yaml examples/plugin/reacher.c copyright; do
    [ -s "$root/usr/share/doc/polyak/$file" ] || fail "$file is not installed"
done
for script in polyak-slurm polyak.sbatch actor.sh; do
    [ -x "$root/usr/share/polyak/slurm/$script" ] || fail "$script cannot be executed"
    cmp -s "$source/deploy/slurm/$script" "$root/usr/share/doc/polyak/deploy/slurm/$script" ||
        fail "the documents do not lead to $script"
done
"$root/usr/bin/polyak-slurm" --help | grep -q '^usage: polyak-slurm' || fail "polyak-slurm does not start"
[ -s "$root/usr/share/man/man1/polyak-slurm.1.gz" ] || fail "polyak-slurm has no manual page"
[ -z "$(find "$root" -name '*.key')" ] || fail "a key is in the package"
[ -z "$(find "$root" -name 'env_mujoco*')" ] || fail "MuJoCo is in the package"
grep -rlF -e "$source" -e "$POLYAK_BUILD_DIR" "$root/usr/bin" "$root/usr/share/man" "$root/lib" &&
    fail "a path of this machine is in the package"

# Nothing of the tree is needed from here on.
cp "$source/tests/install/line.c" "$scratch"
cd "$scratch"
PATH=$root/usr/bin:$PATH
flags=$(PKG_CONFIG_PATH=$root/usr/share/pkgconfig pkg-config --cflags polyak-env)
# shellcheck disable=SC2086 # it is a list of flags
cc -std=c11 -O2 -shared -fPIC $flags -o line.so line.c -lm
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(line C)
find_package(PolyakEnv 0.1 REQUIRED)
polyak_add_env(line line.c)
END
{ cmake -S . -B by-cmake -DCMAKE_PREFIX_PATH="$root/usr" && cmake --build by-cmake; } >cmake.log 2>&1 ||
    { cat cmake.log && fail "CMake does not build a plugin"; }
for plugin in ./line.so by-cmake/line.so; do
    polyak-plugin-check "$plugin" >check.log || { cat check.log && fail "$plugin is not good"; }
done
json=$(polyak train --env ./line.so --actors 1 --seed 1 --run-dir run --total-env-steps 2000 \
    --warmup-env-steps 500 --hidden 16,16 --batch 32 --replay-capacity 10000 --json 2>train.log |
    tail -n 1) || { cat train.log >&2 && fail "polyak train fails"; }
grep -q '"env_steps":2000,' <<<"$json" || fail "the training ended with: $json"
json=$(polyak train --env pendulum --actors 1 --seed 1 --run-dir pendulum --total-env-steps 3000 --json \
    2>train.log | tail -n 1) || { cat train.log >&2 && fail "polyak train fails"; }
grep -q '"env_steps":3000,' <<<"$json" || fail "the training ended with: $json"
