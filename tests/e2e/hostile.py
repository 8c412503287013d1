"""Good actors at work, for tests of peers that mean no good. With --limits a test takes longer, and
they have to keep 90 % of their rate, at half the maximum load; without, they have to go on."""

import argparse
import random
import sys
import time

from harness import SLOW_ENV, EndToEnd

ACTORS = 2
RUN = ["--hidden=64,64", "--batch=64", "--warmup-env-steps=500", "--replay-capacity=100000",
       "--metrics-interval-ms=100", "--eval-interval-env-steps=0", "--total-env-steps=100000000",
       "--checkpoint-interval-s=3600"]
SHARE_MIN = 0.9
ATTEMPTS = 3
SEED = random.randrange(1 << 32)


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limits", action="store_true")
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    print(f"seed {SEED}")
    return known


options = read_options()


def env(step_us):
    return [f"--env={SLOW_ENV}", f"--env-options=us={step_us},limit=50"]


class Hostile(EndToEnd):
    keys = []  # flags of the learner, and of good actors
    actor_keys = []
    lines_max = 12  # of the learner's log, for all peers of one kind that come within seconds

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.run_name = "run"

    def begin(self, step_us=2000):
        self.run_learner = self.learner(*env(step_us), *RUN, *self.keys, run=self.run_name)
        self.good = [self.actor(f"good-{i}", *env(step_us), *self.actor_keys)
                     for i in range(ACTORS)]
        self.status_shows("all good actors", lambda status: len(status["actors"]) == ACTORS)
        self.reaches(1000, self.run_name)

    def begin_at_half_load(self):
        """With --limits: finds out how fast it can be, and starts again with half of that."""
        if not options.limits:
            self.begin()
            return
        self.begin(0)
        most = self.rate(4)
        for program in [self.run_learner, *self.good]:
            program.kill()
            program.end()
        overhead_us = 100  # of a short sleep, and of the step itself
        step_us = max(1, round(1e6 * ACTORS / (most / 2)) - overhead_us)
        print(f"at most {most:.0f} steps/s; a step takes {step_us} us from now on")
        self.run_name = "half"
        self.begin(step_us)

    def rate(self, seconds):
        before, began = self.status()["env_steps"], time.monotonic()
        time.sleep(seconds)
        return (self.status()["env_steps"] - before) / (time.monotonic() - began)

    def lines_since(self, length):
        return [line for line in self.run_learner.log[length:].splitlines() if " steps/s " not in line]

    def assert_only_good_ones(self):
        names = sorted(actor["name"] for actor in self.status()["actors"])
        self.assertEqual(names, [f"good-{i}" for i in range(ACTORS)])
        for program in [self.run_learner, *self.good]:
            self.assertIsNone(program.popen.poll())
        for actor in self.good:
            self.assertNotIn("lost", actor.log)

    def hold(self, what, begin, end):
        """While begin() … end() goes on, the good actors work as before. Others may use the machine:
        where a share counts, it is measured again when it is too small."""
        for _ in range(ATTEMPTS if options.limits else 1):
            share = self.share(what, begin, end)
            if share >= SHARE_MIN:
                break
        if options.limits:
            self.assertGreaterEqual(share, SHARE_MIN)

    def share(self, what, begin, end):
        window_s = 8 if options.limits else 1
        length = len(self.run_learner.log)
        before = max(self.rate(window_s), 1)
        held = begin()
        steps = self.status()["env_steps"]
        during = self.rate(window_s)
        self.status_shows("more steps", lambda status: status["env_steps"] > steps)
        self.assert_only_good_ones()
        said = end(held)
        lines = self.lines_since(length)
        print(f"{what}: {before:.0f} steps/s before, {during:.0f} ({during / before:.0%}) during; "
              f"{said}; {len(lines)} lines in the log")
        self.assertLessEqual(len(lines), self.lines_max, lines)
        return during / before
