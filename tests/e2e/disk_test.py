"""What a run does when its files can no longer be written."""

import os
import signal

from harness import SLOW, SMALL, EndToEnd, main, wait_until


class Disk(EndToEnd):
    def errors(self, program):
        return [line for line in program.log.splitlines() if "error: " in line]

    def begin(self, *args):
        self.run_learner = self.learner(*SLOW, *SMALL, *args)
        self.run_actor = self.actor("one", *SLOW)

    def take_checkpoints_away(self):
        """A plain file in their place: that fails for root, too."""
        wait_until(self.checkpoints, "a checkpoint")
        os.rename(self.path("run", "checkpoints"), self.path("run", "away"))
        self.write(os.path.join("run", "checkpoints"), "")

    def bring_checkpoints_back(self):
        os.unlink(self.path("run", "checkpoints"))
        os.rename(self.path("run", "away"), self.path("run", "checkpoints"))

    def assert_says_that_checkpoints_fail(self):
        self.run_learner.says("no checkpoint at ")
        self.assertIn("run/checkpoints", self.errors(self.run_learner)[0])

    def assert_failed_in_the_end(self):
        self.assertEqual(self.run_learner.end(), 1)
        self.assertIn("the run failed: ", self.errors(self.run_learner)[-1])
        self.assertNotIn("finished at", self.run_learner.log)
        with open(self.path("run", "checkpoints"), "rb") as file:
            self.assertEqual(file.read(), b"")

    def test_a_run_without_its_last_checkpoint_has_failed(self):
        self.begin("--total-env-steps=2500")
        self.take_checkpoints_away()
        self.assert_says_that_checkpoints_fail()
        self.assert_failed_in_the_end()
        # The steps were taken all the same: only what was learned last is lost.
        self.assertEqual(int(self.metrics()[-1]["env_steps"]), 2500)

    def test_a_stopped_run_without_its_last_checkpoint_has_failed(self):
        self.begin()
        self.take_checkpoints_away()
        self.assert_says_that_checkpoints_fail()
        self.run_learner.kill(signal.SIGTERM)
        self.assert_failed_in_the_end()

    def test_checkpoints_that_fail_for_a_while_cost_nothing(self):
        self.begin("--total-env-steps=2500")
        self.take_checkpoints_away()
        self.assert_says_that_checkpoints_fail()
        self.bring_checkpoints_back()
        self.assertEqual([self.run_learner.end(), self.run_actor.end()], [0, 0])
        self.assert_done(2500, updates=2000)

    def test_metrics_that_cannot_be_written_do_not_end_the_run(self):
        learner = self.learner(*SMALL, "--total-env-steps=2000")
        os.symlink("/dev/full", self.path("run", "metrics.csv"))
        actor = self.actor("one", "--env=pendulum")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        lines = [line for line in learner.log.splitlines() if "metrics.csv" in line]
        self.assertEqual(len(lines), 1, "not one line")
        self.assertIn("warning: metrics.csv cannot be written: No space left on device", lines[0])
        newest = self.evaluate()
        self.assertEqual([newest["env_steps"], newest["updates"]], [2000, 1500])


main()
