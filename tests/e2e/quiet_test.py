"""Who waits does so quietly, and says what for."""

import signal
import time

from harness import SANITIZED, SMALL, EndToEnd, cpu_seconds, main

SETTLE_S = 2
MEASURED_S = 5
# Of one core. A sanitizer makes everything a few times slower.
SHARE_MAX = 0.05 if SANITIZED else 0.02


class Quiet(EndToEnd):
    def test_nobody_who_waits_spins(self):
        alone = self.learner("--env=pendulum")
        # A learner that owes more updates than it will ever do, and an actor that it keeps waiting.
        busy = self.start("polyak-learner", "--bind=ipc://uplink", "--run-dir=busy", "--env=pendulum",
                          "--hidden=256,256", "--batch=256", "--updates-per-env-step=1000",
                          "--warmup-env-steps=500", "--eval-interval-env-steps=0")
        busy.says("listening on")
        paused = self.start("polyak-actor", "--connect=ipc://uplink", "--env=pendulum")
        lost = self.start("polyak-actor", "--connect=ipc://nobody", "--env=pendulum")
        paused.says("insert paused: ")
        alone.says("waiting for the first actor")
        lost.says("waiting for the learner at ipc://nobody")

        quiet = {"learner without actors": alone, "actor without credit": paused,
                 "actor without a learner": lost}
        time.sleep(SETTLE_S)
        before = {name: cpu_seconds(program.pid) for name, program in quiet.items()}
        began = time.monotonic()
        time.sleep(MEASURED_S)
        for name, program in quiet.items():
            spent = cpu_seconds(program.pid) - before[name]
            share = spent / (time.monotonic() - began)
            print(f"{name}: {share:.1%} of a core")
            self.assertLess(share, SHARE_MAX, name)
            self.assertIsNone(program.popen.poll())

    def test_threads_of_a_learner_that_has_done_its_updates_wait_quietly(self):
        learner = self.learner(*SMALL, "--threads=3", "--env=pendulum", "--total-env-steps=1000000")
        actor = self.actor("one", "--env=pendulum")
        self.reaches(2000)
        actor.kill(signal.SIGSTOP)
        time.sleep(SETTLE_S)
        before = cpu_seconds(learner.pid)
        began = time.monotonic()
        time.sleep(MEASURED_S)
        share = (cpu_seconds(learner.pid) - before) / (time.monotonic() - began)
        print(f"learner without steps: {share:.1%} of a core")
        self.assertLess(share, SHARE_MAX)
        self.assertGreater(int(self.metrics()[-1]["updates"]), 1000)

    def test_actors_that_lost_their_learner_wait_quietly(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=1000000")
        actor = self.actor("one", "--env=pendulum")
        self.reaches(1000)
        learner.kill()
        learner.end()
        actor.says("waiting for the learner")
        before = cpu_seconds(actor.pid)
        began = time.monotonic()
        time.sleep(MEASURED_S)
        share = (cpu_seconds(actor.pid) - before) / (time.monotonic() - began)
        print(f"actor that lost its learner: {share:.1%} of a core")
        self.assertLess(share, SHARE_MAX)


main()
