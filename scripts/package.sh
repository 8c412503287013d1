#!/usr/bin/env bash
# Makes Debian packages of the programs and of the header for plugins.
#
#   scripts/package.sh          builds in build-release, and leaves the packages there:
#                               polyak_VERSION_ARCHITECTURE.deb and polyak-dev_VERSION_all.deb
#   scripts/package.sh BUILD    packages a build directory that is built already, and leaves them there
#
# The version is that of CMakeLists.txt. What the packages hold is in deploy/debian.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { # CODE TEXT
    printf 'scripts/package.sh: %s\n' "$2" >&2
    exit "$1"
}

[ $# -le 1 ] || fail 2 'usage: scripts/package.sh [BUILD]'
for tool in dpkg-buildpackage dh; do
    command -v $tool >/dev/null ||
        fail 1 "$tool is not there; as root: apt-get install --no-install-recommends dpkg-dev debhelper"
done
version=$(sed -n 's/^project(polyak VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
newest=$(dpkg-parsechangelog -l "$root/deploy/debian/changelog" -S Version)
[ "$version" = "$newest" ] ||
    fail 1 "CMakeLists.txt says version $version, and deploy/debian/changelog $newest: add an entry there"

if [ $# -eq 1 ]; then
    [ -x "$1/bin/polyak" ] || fail 2 "$1 holds no bin/polyak: build it first"
    build=$(cd "$1" && pwd)
else
    "$root/scripts/setup.sh" build
    build=$root/build-release
    # As Debian builds: with its flags for hardening. MuJoCo is no part of Debian.
    hardened=$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get CPPFLAGS)
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF \
        -DCMAKE_DISABLE_FIND_PACKAGE_MuJoCo=ON \
        -DCMAKE_C_FLAGS="$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get CFLAGS) $hardened" \
        -DCMAKE_EXE_LINKER_FLAGS="$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get LDFLAGS)" \
        >&2
    cmake --build "$build" >&2
fi

# dpkg-buildpackage writes beside the directory that it works in.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/polyak"
cp -r "$root/deploy/debian" "$scratch/polyak/debian"
(cd "$scratch/polyak" &&
    POLYAK_BUILD=$build DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} noautodbgsym" \
        dpkg-buildpackage --build=binary --no-sign --no-check-builddeps) >"$scratch/log" 2>&1 ||
    { cat "$scratch/log" >&2 && fail 1 'dpkg-buildpackage failed: see above'; }
mv "$scratch"/*.deb "$build"
printf '%s\n' "$build"/polyak_"$version"_*.deb "$build/polyak-dev_${version}_all.deb"
