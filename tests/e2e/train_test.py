"""`polyak train`: whatever happens to it or to its children, nothing is left behind."""

import json
import os
import signal

from harness import SLOW, SMALL, EndToEnd, children_of, is_running, main, wait_until


class Train(EndToEnd):
    def train(self, *args):
        return self.start("polyak", "train", "--run-dir=run", *args)

    def begin(self, total=4000):
        """A run that is midway, and the process ids of its children."""
        train = self.train(*SLOW, *SMALL, "--actors=2", f"--total-env-steps={total}")
        self.reaches(700)
        self.children = children_of(train.pid)
        self.assertEqual(sorted(self.children), ["actor-0", "actor-1", "learner"])
        return train

    def assert_nothing_is_left(self):
        for name, pid in self.children.items():
            self.assertFalse(is_running(pid), f"{name} is left")
        self.assertEqual(os.listdir(self.sockets), [])

    def test_a_run_from_the_command_line_to_a_policy(self):
        train = self.train("--env=pendulum", "--actors=2", *SMALL, "--total-env-steps=3000",
                           "--eval-interval-env-steps=1000", "--json")
        self.assertEqual(train.end(), 0)
        outcome = json.loads(train.out.splitlines()[-1])
        self.assertEqual([outcome["env_steps"], outcome["updates"]], [3000, 2500])
        for number in ("wall_s", "return_mean", "return_std"):
            self.assertIsInstance(outcome[number], float)
        self.assert_done(3000, updates=2500)
        self.assertTrue(os.path.exists(self.path("run", "checkpoints", "best.safetensors")))
        self.assertEqual(os.listdir(self.sockets), [])

    def test_an_interrupt_stops_all_and_the_run_goes_on_later(self):
        train = self.begin()
        train.kill(signal.SIGINT)
        self.assertEqual(train.end(), 1)
        self.assert_nothing_is_left()
        self.assertIn("stopped; go on with: polyak train --resume --run-dir run", train.log)
        again = self.train("--resume", "--total-env-steps=3000")
        self.assertEqual(again.end(), 0)
        self.assert_done(3000, updates=2500)

    def test_when_it_is_killed_its_children_end_by_themselves(self):
        train = self.begin()
        train.kill()
        train.end()
        wait_until(lambda: not any(map(is_running, self.children.values())), "the children's end")

    def test_a_killed_actor_is_started_again(self):
        train = self.begin()
        os.kill(self.children["actor-1"], signal.SIGKILL)
        self.assertEqual(train.end(), 0)
        self.assertIn("actor-1 was killed by signal 9 (Killed); starting it again", train.log)
        self.assert_nothing_is_left()
        self.assert_done(4000, updates=3500)

    def test_a_killed_learner_is_started_again_and_goes_on(self):
        train = self.begin()
        os.kill(self.children["learner"], signal.SIGKILL)
        self.assertEqual(train.end(), 0)
        self.assertIn("learner was killed by signal 9 (Killed); starting it again", train.log)
        self.assert_nothing_is_left()
        self.assert_done(4000, updates=3500, killed=True)
        self.assertEqual(self.epoch(), 2)


main()
