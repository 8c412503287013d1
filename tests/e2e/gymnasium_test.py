"""Whole runs with `gymnasium:ID`, whose Python worker is killed, raises and hangs in the middle.

The Gymnasium is a stub (tests/actor/envs/gymnasium/stub). It needs a Python with NumPy:
$POLYAK_TEST_PYTHON, python3 or /usr/bin/python3.
"""

import os
import shutil
import signal
import subprocess
import unittest

from harness import SMALL, EndToEnd, children_of, is_running, main, wait_until

STUB = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "actor", "envs",
                    "gymnasium", "stub")


def find_python():
    for python in (os.environ.get("POLYAK_TEST_PYTHON"), "python3", "/usr/bin/python3"):
        if python and shutil.which(python) and subprocess.run(
                [python, "-c", "import numpy"], stderr=subprocess.DEVNULL, check=False
                ).returncode == 0:
            return python
    return None


PYTHON = find_python()


@unittest.skipUnless(PYTHON, "no Python with NumPy: install python3-numpy, or set "
                             "POLYAK_TEST_PYTHON")
class Gymnasium(EndToEnd):
    TOTAL = 3000

    def setUp(self):
        super().setUp()
        self.environment.update(PYTHONPATH=STUB, PYTHONDONTWRITEBYTECODE="1")

    def env(self, options="", env_id="Count-v0"):
        return [f"--env=gymnasium:{env_id}", f"--python={PYTHON}",
                f"--env-options=end=20,slow_ms=2,{options}".rstrip(",")]

    def train(self, *args):
        return self.start("polyak", "train", "--run-dir=run", *SMALL, "--actors=1",
                          "--envs-per-actor=4", f"--total-env-steps={self.TOTAL}", *args)

    def worker_of(self, actor):
        """The process id of an actor's worker."""
        def look():
            with open(f"/proc/{actor}/task/{actor}/children", encoding="utf-8") as file:
                return [int(word) for word in file.read().split()]
        return wait_until(look, "a worker")[0]

    def assert_whole(self, train):
        self.assertEqual(train.end(), 0)
        self.assert_done(self.TOTAL, updates=self.TOTAL - 500)

    def test_a_worker_that_is_killed_ends_episodes_and_not_the_run(self):
        train = self.train(*self.env())
        self.reaches(700)
        actor = children_of(train.pid)["actor-0"]
        first = self.worker_of(actor)
        os.kill(first, signal.SIGKILL)
        train.says("the Python worker is ready again")
        second = self.worker_of(actor)
        self.assertNotEqual(first, second)
        self.assert_whole(train)
        self.assertIn("the Python worker was killed by signal 9 (Killed)", train.log)
        self.assertFalse(is_running(second))

    def test_a_worker_that_raises_is_started_again(self):
        once = self.path("once")
        train = self.train(*self.env(f"fault=raise,at=10,only=2,once={once}"))
        self.assert_whole(train)
        self.assertIn("step raised ValueError: the joint is broken (environment 2)", train.log)
        self.assertIn("in do_raise", train.log)

    def test_a_worker_that_hangs_is_started_again(self):
        once = self.path("once")
        train = self.train(*self.env(f"fault=hang,at=10,once={once}"), "--env-step-timeout-ms=1000")
        self.assert_whole(train)
        self.assertIn("no step or reset was done within 1 s", train.log)
        self.assertIn("in do_hang", train.log)

    def test_an_actor_whose_worker_ends_again_and_again_ends_too(self):
        self.learner(*SMALL)
        actor = self.actor("a", *self.env("fault=raise,at=3"), "--env-restarts-max=1")
        self.assert_fails(actor, 1, "the Python worker of gymnasium:Count-v0 ended 2 times within a "
                                    "minute, the last time: step raised ValueError")

    def test_no_worker_outlives_its_actor(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            run = f"run-{number}"
            train = self.start("polyak", "train", f"--run-dir={run}", *SMALL, "--actors=1",
                               *self.env("fault=hang,at=9"))
            train.says("is connected")
            actor = children_of(train.pid)["actor-0"]
            worker = self.worker_of(actor)
            train.kill(number)
            train.end()
            wait_until(lambda: not is_running(worker) and not is_running(actor), "the worker's end")

    def test_a_signal_is_heard_while_the_first_worker_hangs(self):
        for role in ("actor", "evaluator"):
            for number in (signal.SIGTERM, signal.SIGINT):
                starts = self.path(f"starts-{role}-{number}")
                actor = self.actor("a", f"--role={role}", *self.env(
                    f"fault=hang,at=-1,starts={starts}"), "--env-step-timeout-ms=600000")
                wait_until(lambda: os.path.exists(starts), "its worker")
                worker = self.worker_of(actor.pid)
                actor.kill(number)
                self.assertEqual(actor.end(), -number)
                self.assertFalse(is_running(worker))

    def test_a_look_at_an_environment_without_pictures_says_no_more_than_that(self):
        for env_id in ("Blind-v0", "Matrix-v0"):  # the second takes no render_mode
            shown = self.finish("polyak", "envs", f"gymnasium:{env_id}", f"--python={PYTHON}")
            self.assertEqual((shown.end(), shown.log), (0, ""))
            self.assertRegex(shown.out, r"picture +no: .*no picture\n")

    def test_what_cannot_be_opened_is_refused(self):
        for program in (["polyak", "train", "--run-dir=refused"],
                        ["polyak-actor", f"--connect={self.endpoint}"]):
            for env_id, options, words in (
                    ("Cuont-v0", "", "Environment `Cuont-v0` doesn't exist"),
                    ("Count-v0", "limb=1", "bad options: Count.__init__() got an unexpected"),
                    ("Discrete-v0", "", "only Box is supported")):
                self.assert_refused(2, words, *program, f"--env=gymnasium:{env_id}",
                                    f"--python={PYTHON}", f"--env-options={options}")
            self.assert_refused(1, "the Python no-python cannot be run", *program,
                                "--env=gymnasium:Count-v0", "--python=no-python")
        self.assertFalse(os.path.exists(self.path("refused")))


main()
