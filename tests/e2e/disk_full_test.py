"""A disk that fills up while a run trains, and has room again later. Needs root: it is a small tmpfs.

disk_test.py takes files away; here the files are there, and every write of them may stop half-way.
"""

import ctypes
import hashlib
import os
import signal
import subprocess

from harness import SLOW, SMALL, EndToEnd, main, wait_until

CLONE_NEWNS = 0x20000
MIB = 1 << 20
DISK_BYTES = 4 * MIB


def own_mounts():
    """What this process mounts from now on, nobody else sees, and it goes with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:
        return "only root can mount a disk"
    if libc.unshare(CLONE_NEWNS) != 0:
        return f"no mounts of its own: {os.strerror(ctypes.get_errno())}"
    done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True,
                          check=False)
    return done.stderr.strip()


WHY_NOT = own_mounts()


class DiskFull(EndToEnd):
    def setUp(self):
        super().setUp()
        if WHY_NOT:
            self.skipTest(WHY_NOT)
        os.mkdir(self.path("run"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs",
                               self.path("run")], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("run")], check=False)

    def begin(self, *args):
        self.run_learner = self.learner(*SLOW, *SMALL, *args)
        self.run_actor = self.actor("one", *SLOW)
        wait_until(lambda: len(self.checkpoints()) >= 2, "two checkpoints")

    def fill(self):
        """Takes every byte that is left."""
        with open(self.path("run", "ballast"), "ab", buffering=0) as ballast:
            for size in (MIB, 4096, 1):
                try:
                    while ballast.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def make_room(self):
        os.unlink(self.path("run", "ballast"))

    def digests(self):
        found = {}
        for path in self.checkpoints():
            with open(path, "rb") as file:
                found[path] = hashlib.sha256(file.read()).hexdigest()
        return found

    def steps_go_on(self, more):
        steps = self.status()["env_steps"]
        self.status_shows(f"{more} more steps", lambda status: status["env_steps"] >= steps + more)

    def test_checkpoints_wait_for_room_and_training_does_not(self):
        self.begin()
        self.fill()
        self.run_learner.says("no checkpoint at ")
        before = self.digests()
        self.steps_go_on(500)
        self.assertEqual(self.digests(), before)
        self.assertEqual([name for name in os.listdir(self.path("run", "checkpoints"))
                          if ".tmp-" in name], [])
        self.assertGreater(self.evaluate()["env_steps"], 0)
        self.assertIn("No space left on device", self.run_learner.log)
        self.make_room()
        wait_until(lambda: set(self.checkpoints()) - set(before), "a checkpoint after that")
        wait_until(lambda: int((self.metrics() or [{"env_steps": 0}])[-1]["env_steps"])
                   > self.evaluate()["env_steps"], "metrics after that")
        self.run_learner.kill(signal.SIGTERM)
        self.assertEqual(self.run_learner.end(), -signal.SIGTERM)
        self.assertIn("a last checkpoint is written", self.run_learner.log)


main()
