"""Lockstep runs are the same to the bit, and another seed gives another run."""

from harness import SMALL, EndToEnd, main


class Sync(EndToEnd):
    def train(self, run, *args):
        done = self.finish("polyak", "train", "--env=pendulum", "--sync", *SMALL,
                           "--total-env-steps=2000", f"--run-dir={run}", *args)
        self.assertEqual(done.end(), 0)
        self.assert_done(2000, updates=1500, run=run)
        # Where the run lies is part of the stored configuration, and does not belong to the run.
        with open(self.checkpoints(run)[-1], "rb") as file:
            return file.read()

    def assert_repeatable(self, *args):
        first = self.train("first", "--seed=7", *args)
        second = self.train("second", "--seed=7", *args)
        other = self.train("other", "--seed=8", *args)
        self.assertTrue(first == second, "the same seed gave other bytes")
        self.assertFalse(first == other, "another seed gave the same bytes")

    def test_two_actors(self):
        self.assert_repeatable("--actors=2")

    def test_one_actor_with_three_environments(self):
        self.assert_repeatable("--actors=1", "--envs-per-actor=3")


main()
