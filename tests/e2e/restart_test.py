"""A learner ends, in order or not, and is started again while its actors stay."""

import json
import signal

from harness import SLOW, SMALL, EndToEnd, main, wait_until

TOTAL = 4500
WARMUP = 500


class Restart(EndToEnd):
    def begin(self, total=TOTAL):
        self.first = self.learner(*SLOW, *SMALL, f"--total-env-steps={total}")
        self.actors = [self.actor("one", *SLOW), self.actor("two", *SLOW)]

    def go_on(self):
        """Starts the learner again. The counters of the checkpoint that it goes on from."""
        restored = self.evaluate()
        learner = self.learner("--resume")
        self.assertIn(f"resumed at {restored['env_steps']} env steps and {restored['updates']} "
                      "updates; reading the replay log back", learner.log)
        return learner, restored

    def assert_goes_on_to_the_end(self, learner, restored):
        wait_until(lambda: learner.popen.poll() is not None
                   or any(a["env_steps"] > 0 for a in self.running_actors()), "steps after restart")
        self.assertEqual(learner.end(), 0)
        self.assertEqual([actor.end() for actor in self.actors], [0, 0])
        self.assertEqual(self.epoch(), 2)
        self.assertEqual(TOTAL - WARMUP, self.evaluate()["updates"])
        self.assertNotIn("differs", learner.log)
        for actor in self.actors:
            self.assertNotIn("no longer knows this session", actor.log)

    def running_actors(self):
        asked = self.finish("polyak", "status", f"--connect={self.endpoint}", "--json")
        return json.loads(asked.out)["actors"] if asked.end() == 0 else []

    def test_a_stopped_learner_goes_on_where_it_was(self):
        self.begin()
        self.reaches(1500)
        self.first.kill(signal.SIGTERM)
        self.assertEqual(self.first.end(), -signal.SIGTERM)
        self.assertIn("a last checkpoint is written", self.first.log)
        last = self.metrics()[-1]
        for actor in self.actors:
            self.assertIsNone(actor.popen.poll(), "an actor left")
        learner, restored = self.go_on()
        self.assertEqual(restored["env_steps"], int(last["env_steps"]))
        self.assertEqual(restored["updates"], int(last["updates"]))
        self.assert_goes_on_to_the_end(learner, restored)
        self.assert_done(TOTAL)

    def test_a_killed_learner_goes_on_from_its_newest_checkpoint(self):
        self.begin()
        wait_until(self.checkpoints, "a checkpoint")
        self.reaches(1500)
        self.first.kill()
        self.assertEqual(self.first.end(), -signal.SIGKILL)
        for actor in self.actors:
            actor.says("waiting for the learner")
        learner, restored = self.go_on()
        self.assertGreater(restored["env_steps"], 0)
        self.assert_goes_on_to_the_end(learner, restored)
        newest = self.evaluate()
        self.assertEqual(newest["env_steps"], TOTAL)
        rows = [int(row["env_steps"]) for row in self.metrics()]
        self.assertEqual(rows[-1], TOTAL)

    def test_a_killed_learner_without_a_log_goes_on_from_its_newest_checkpoint(self):
        self.first = self.learner(*SLOW, *SMALL, f"--total-env-steps={TOTAL}", "--replay-log=false")
        self.actors = [self.actor("one", *SLOW), self.actor("two", *SLOW)]
        wait_until(self.checkpoints, "a checkpoint")
        self.reaches(1500)
        self.first.kill()
        self.first.end()
        restored = self.evaluate()
        learner = self.learner("--resume")
        self.assertIn("without the replay log the replay is empty", learner.log)
        self.assertEqual([learner.end(), *[actor.end() for actor in self.actors]], [0, 0, 0])
        new_steps = TOTAL - restored["env_steps"]
        self.assertEqual(restored["updates"] + new_steps - WARMUP, self.evaluate()["updates"])
        for actor in self.actors:
            self.assertIn("no longer knows this session", actor.log)

    def test_a_learner_killed_before_its_second_checkpoint_loses_nothing(self):
        self.first = self.learner(*SLOW, *SMALL, "--total-env-steps=2000",
                                  "--checkpoint-interval-s=3600")
        self.actors = [self.actor("one", *SLOW), self.actor("two", *SLOW)]
        self.reaches(1000)  # the actors have a policy by now
        self.first.kill()
        self.first.end()
        learner = self.learner("--resume")
        learner.says("resumed at 0 env steps and 0 updates")
        self.assertEqual([learner.end(), *[actor.end() for actor in self.actors]], [0, 0, 0])
        self.assertEqual(self.evaluate()["env_steps"], 2000)
        self.assertEqual(self.evaluate()["updates"], 1500)
        self.assertEqual(self.epoch(), 2)

    def test_a_finished_run_goes_on_with_a_larger_total(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=1000")
        actor = self.actor("one", "--env=pendulum")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assert_done(1000, updates=500)
        learner = self.learner("--resume", "--total-env-steps=2000")
        actor = self.actor("one", "--env=pendulum")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assert_done(2000, updates=1500)

    def test_a_finished_run_that_is_resumed_ends_at_once(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=1000")
        actor = self.actor("one", "--env=pendulum")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assertEqual(self.learner("--resume").end(), 0)
        self.assert_done(1000, updates=500)


main()
