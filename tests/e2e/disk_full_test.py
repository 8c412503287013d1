"""A disk that fills up while a run trains, and has room again later. Needs root: it is a small tmpfs.

disk_test.py takes files away; here the files are there, and every write of them may stop half-way.
"""

import ctypes
import hashlib
import os
import signal
import subprocess
import time

from harness import SLOW, SMALL, EndToEnd, main, wait_until
from plog import Log

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

    def alarms(self, *words):
        """Waits until status has an alarm with each of these words; or none, without words."""
        def shows(status):
            alarms = status["alarms"]
            return all(any(word in alarm for alarm in alarms) for word in words) and (
                words or not alarms)
        return self.status_shows(f"alarms with {words}", shows)

    def fill_up(self):
        """Until checkpoints and log fail; what is there stays as it is."""
        self.fill()
        self.run_learner.says("no checkpoint at ")
        self.alarms("the newest checkpoint could not be written", "the replay log fails")
        self.assertIn("No space left on device", self.run_learner.log)
        self.before = self.digests()

    def assert_nothing_is_harmed(self):
        self.assertEqual(self.digests(), self.before)
        self.assertEqual([name for name in os.listdir(self.path("run", "checkpoints"))
                          if ".tmp-" in name], [])
        self.assertGreater(self.evaluate()["env_steps"], 0)

    def recovers(self):
        """Makes room, and waits until all is written again."""
        self.make_room()
        wait_until(lambda: set(self.checkpoints()) - set(self.before), "a checkpoint after that")
        status = self.status_shows("a log that works", lambda status: status["log_state"] == "on")
        wait_until(lambda: int((self.metrics() or [{"env_steps": 0}])[-1]["env_steps"])
                   > self.evaluate()["env_steps"], "metrics after that")
        self.steps_go_on(200)
        return status

    def end_in_order(self):
        """The log, which is whole but for its gaps, agrees with the newest checkpoint."""
        self.run_actor.kill(signal.SIGTERM)
        self.assertEqual(self.run_actor.end(), -signal.SIGTERM)
        self.run_learner.kill(signal.SIGTERM)
        self.assertEqual(self.run_learner.end(), -signal.SIGTERM)
        self.assertIn("a last checkpoint is written", self.run_learner.log)
        self.assertNotIn("that the learner did not acknowledge", self.run_actor.log)
        log = Log(self.path("run", "replay"))
        self.assertEqual((log.check(), log.torn), ([], []))
        self.assertEqual(log.env_steps, self.evaluate()["env_steps"])
        return log

    def test_training_goes_on_without_the_log(self):
        self.begin("--replay-log-on-error=continue")
        self.fill_up()
        self.steps_go_on(500)
        self.assert_nothing_is_harmed()
        self.recovers()
        self.alarms("segments are not in the replay log")
        log = self.end_in_order()
        self.assertGreaterEqual(sum(gap.num_steps for gap in log.gaps), 500)
        self.resumes(log)

    def test_training_waits_for_the_log(self):
        self.begin("--replay-log-on-error=wait")
        self.fill_up()
        status = self.status_shows("that it waits", lambda status: "log" in status["waiting_for"])
        self.assertIn("No space left on device", status["waiting_for"])
        self.assert_nothing_is_harmed()
        before = self.status()["env_steps"]
        time.sleep(1)
        self.assertEqual(self.status()["env_steps"], before)
        self.recovers()
        self.alarms()
        log = self.end_in_order()
        self.assertEqual(log.gaps, [])
        self.resumes(log)

    def resumes(self, log):
        """A learner that starts again has all that the log has, and goes on."""
        self.run_learner = self.learner("--resume")
        self.run_actor = self.actor("two", *SLOW)
        self.status_shows("that it goes on", lambda status:
                          status["env_steps"] > log.env_steps + 200)
        self.assertEqual(Log(self.path("run", "replay")).items[:len(log.items)], log.items)


main()
