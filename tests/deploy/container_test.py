"""The image of deploy/container, built without a daemon on a base of Debian's packages, and the pods of
deploy/kubernetes run in it.

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
# Steps of the run in pods, and the return that says that a pendulum is swung up.
ENV_STEPS = 15000
RETURN_MIN = -250

missing = [tool for tool in TOOLS if not shutil.which(tool)]
if os.geteuid() != 0 or missing:
    manifests.skip(f"needs root, and {', '.join(missing or TOOLS)}: scripts/setup.sh test")
if not glob.glob("/etc/apt/sources.list*"):
    manifests.skip("needs Debian's package sources")
manifests.use_wheels()
pods.enter_own_mounts()


needs_kubectl = unittest.skipUnless(manifests.has_kubectl(), manifests.NO_KUBECTL)


class Container(unittest.TestCase):
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

    def pods_of(self, overlay, env_steps):
        """A cluster with the objects of an overlay, whose run is a short one."""
        copy = manifests.copy_with_keys(tempfile.mkdtemp(dir=self.directory))
        path = os.path.join(copy, "overlays", overlay)
        with open(os.path.join(path, "polyak.yaml"), "w", encoding="utf-8") as file:
            file.write(f"env: pendulum\ntotal_env_steps: {env_steps}\n")
        cluster = pods.Cluster(os.path.dirname(copy), self.rootfs, self.image, manifests.render(path))
        self.addCleanup(cluster.close)
        self.clusters.append(cluster)
        return cluster

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        self.clusters = []
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for pod in [pod for cluster in self.clusters for pod in cluster.pods]:
                print(pod.name, pod.program.story(), sep="\n")
        return result

    def _status(self, learner):
        code, said = learner.probe("livenessProbe", "--json")
        self.assertEqual(code, 0)
        return json.loads(said)

    def _midway(self, learner, env_steps):
        """The learner's status when it has a fifth of its steps."""
        def look():
            status = self._status(learner)
            return status if status["env_steps"] > env_steps / 5 else None
        learner.program.says("listening on")
        return harness.wait_until(look, "a fifth of the steps")

    @needs_kubectl
    def test_the_laptop_s_pods_train_a_pendulum(self):
        cluster = self.pods_of("laptop", ENV_STEPS)
        set_of_learners = cluster.find("StatefulSet", "polyak-learner")
        actors = cluster.find("Deployment", "polyak-actor")
        learner = cluster.start(set_of_learners)
        learner.program.says("listening on")
        fleet = [cluster.start(actors, number) for number in range(actors["spec"]["replicas"])]
        fleet.append(cluster.start(cluster.find("Deployment", "polyak-evaluator")))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            self.assertEqual(learner.probe(probe)[0], 0)
        status = self._midway(learner, ENV_STEPS)
        named = {actor["name"]: actor["labels"] for actor in status["actors"]}
        self.assertEqual(named, {f"polyak-actor-{number}": "node=node-7.example.com"
                                 for number in range(len(fleet) - 1)})

        # The learner's pod is deleted, and comes back; an actor's is deleted for good.
        learner.terminate()
        self.assertIn("--resume goes on from here", learner.program.log)
        learner = cluster.start(set_of_learners)
        fleet.pop(0).terminate()
        self.assertEqual(learner.program.end(), 0)
        for pod in fleet:
            self.assertEqual(pod.program.end(), 0)

        asked = ["polyak", "eval", "--run-dir=/var/lib/polyak/run", "--checkpoint=best",
                 "--episodes=20", "--json"]
        evaluation = cluster.start(set_of_learners, command=asked)
        self.assertEqual(evaluation.program.end(), 0)
        score = json.loads(evaluation.program.out)
        print(f"pods: return {score['return_mean']:.1f} over 20 episodes")
        self.assertGreater(score["return_mean"], RETURN_MIN)

    @needs_kubectl
    def test_the_cluster_s_actors_dial_a_relay(self):
        cluster = self.pods_of("cluster", 3000)
        fleet = [cluster.start(cluster.find(kind, f"polyak-{name}")) for kind, name in (
            ("StatefulSet", "learner"), ("Deployment", "relay"), ("Deployment", "actor"),
            ("Deployment", "evaluator"))]
        status = self._midway(fleet[0], 3000)
        self.assertEqual([(actor["name"], actor["via"]) for actor in status["actors"]],
                         [("polyak-actor-0", "polyak-relay-0")])
        for pod in fleet:
            self.assertEqual(pod.program.end(), 0)


if __name__ == "__main__":
    harness.main()
