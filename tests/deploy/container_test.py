"""The image of deploy/container, built without a daemon on a base of Debian's packages, and looked into.

The image takes the programs of this build, where they fit its base; POLYAK_CONTAINER_FULL=1 compiles them
in the image's first stage, as a user's build does, which takes minutes more. The base image is made by
mmdebstrap from this machine's own package sources: where those are not there, nothing is tested.
"""

import glob
import json
import os
import platform
import shutil
import subprocess
import tempfile
import unittest

import harness
import manifests
import pods

os.environ["PATH"] += ":/usr/sbin:/sbin"
TOOLS = ("mmdebstrap", "buildah", "crun", "ip", "unshare", "chroot", "cmake")
BASE = "localhost/debian:12-slim"
IMAGE = "localhost/polyak:latest"
SIZE_MAX = 80_000_000  # bytes beyond the base: OpenBLAS is 40 MB of them
FULL = os.environ.get("POLYAK_CONTAINER_FULL") == "1"
# What debian:12-slim leaves out as well.
DPKG = "".join(f"path-exclude=/usr/share/{place}/*\n" for place in ("doc", "man", "locale", "info"))

missing = [tool for tool in TOOLS if not shutil.which(tool)]
if os.geteuid() != 0 or missing:
    manifests.skip(f"needs root, and {', '.join(missing or TOOLS)}: scripts/setup.sh test")
if not glob.glob("/etc/apt/sources.list*"):
    manifests.skip("needs Debian's package sources")
pods.enter_own_mounts()


class Image(unittest.TestCase):
    """Makes the image, and unpacks it."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="polyak-container-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        os.environ["TMPDIR"] = cls.directory  # of buildah, too
        cls._make_base()
        options = []
        if not FULL and platform.freedesktop_os_release().get("VERSION_CODENAME") == "bookworm":
            tree = os.path.join(cls.directory, "installed")
            subprocess.run(["cmake", "--install", os.environ["POLYAK_BUILD_DIR"], "--strip",
                            "--prefix", os.path.join(tree, "opt", "polyak")], check=True,
                           stdout=subprocess.DEVNULL)
            cls._image_of(tree, "localhost/polyak-installed")
            options = ["--build-context=build=container-image://localhost/polyak-installed"]
        source = os.environ["POLYAK_SOURCE_DIR"]
        cls.buildah("build", "--isolation=chroot", f"--build-arg=BASE={BASE}", "--tag", IMAGE,
                    *options, "--file", os.path.join(source, "deploy", "container", "Containerfile"),
                    source)
        cls.image = json.loads(cls.buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"]
        cls.working = cls.buildah("from", IMAGE).strip()
        cls.rootfs = cls.buildah("mount", cls.working).strip()
        cls.addClassCleanup(cls.buildah, "rm", cls.working)

    @classmethod
    def buildah(cls, *words):
        done = subprocess.run(["buildah", "--root", os.path.join(cls.directory, "storage"),
                               "--runroot", os.path.join(cls.directory, "run"),
                               "--storage-driver=vfs", *words],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"buildah {words[0]}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout

    @classmethod
    def _image_of(cls, tree, name):
        """An image that holds a directory, or what a tar file holds."""
        container = cls.buildah("from", "scratch").strip()
        cls.buildah("add", "--quiet", container, tree, "/")
        cls.buildah("commit", "--quiet", "--rm", container, name)

    @classmethod
    def _make_base(cls):
        """What debian:12-slim is, of the packages that this machine's own sources have."""
        config, tar = (os.path.join(cls.directory, name) for name in ("dpkg.cfg", "base.tar"))
        with open(config, "w", encoding="utf-8") as file:
            file.write(DPKG)
        sources = [path for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
                   if os.path.exists(path)]
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--dpkgopt={config}",
                               "bookworm", tar, *sources], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            cls.doClassCleanups()
            manifests.skip(f"no base image could be made: {done.stderr[-2000:]}")
        cls._image_of(tar, BASE)
        os.remove(tar)


class Container(Image):
    def inside(self, *words):
        done = subprocess.run([shutil.which("chroot"), "--userspec=10001:10001", self.rootfs,
                               "/usr/bin/env", "--ignore-environment", *self.image["Env"], *words],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
        return done.stdout

    def size(self, name):
        return json.loads(self.buildah("images", "--json", name))[0]["size"]

    def test_what_the_image_says(self):
        self.assertEqual(self.image["User"], "10001:10001")
        self.assertEqual(self.image["Cmd"], ["polyak", "--help"])
        self.assertFalse(self.image.get("Entrypoint"))
        self.assertEqual(set(self.image["ExposedPorts"]), {"5555/tcp", "5556/tcp"})
        self.assertEqual(self.image["Labels"]["org.opencontainers.image.licenses"], "MIT")

    def test_what_is_in_it(self):
        for name in ("polyak", "polyak-learner", "polyak-actor", "polyak-relay"):
            self.assertTrue(self.inside(name, "--version").startswith("polyak"))
        self.assertIn("keygen", self.inside(*self.image["Cmd"]))
        self.assertIn("pendulum", self.inside("polyak", "envs"))

    def test_it_is_small_and_has_nothing_to_climb_on(self):
        megabytes = []
        for name in (IMAGE, BASE):
            number, unit = self.size(name).split()
            self.assertEqual(unit, "MB")
            megabytes.append(float(number))
        print(f"image {megabytes[0]} MB, of which the base {megabytes[1]} MB")
        self.assertLess((megabytes[0] - megabytes[1]) * 1e6, SIZE_MAX)
        found = subprocess.run(["find", self.rootfs, "-xdev", "-type", "f", "-perm", "/6000"],
                               capture_output=True, text=True, check=True).stdout
        self.assertEqual(found, "")
        for name in ("gcc", "cc", "ld", "as", "cmake", "ninja", "protoc-c", "python3"):
            self.assertIsNone(shutil.which(name, path=os.path.join(self.rootfs, "usr", "bin")))
        keys = subprocess.run(["find", self.rootfs, "-xdev", "-name", "*.key"], capture_output=True,
                              text=True, check=True).stdout
        self.assertEqual(keys, "")


if __name__ == "__main__":
    harness.main()
