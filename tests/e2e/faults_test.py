"""Environments that go wrong: the run goes on, and says which faults there were, and how many."""

import json
import re

from harness import NAN_ENV, SMALL, EndToEnd, main
from plog import Log

KINDS = ["diverged", "not_finite", "raised", "died", "hung"]
BEAT = "--heartbeat-interval-ms=50"  # so that the metrics know of the last ones too


class Faults(EndToEnd):
    def train_midway(self, options, total, *more):
        """A run of `polyak train` with a broken environment, once its actors told of faults."""
        train = self.start("polyak", "train", "--run-dir=run", f"--env={NAN_ENV}",
                           f"--env-options={options},us=2000,limit=50", *SMALL, BEAT, "--actors=2", *more,
                           f"--total-env-steps={total}")
        train.says("listening on")
        self.endpoint = re.search(r"listening on ([^\s,]+)", train.log)[1]
        status = self.status_shows("faults of both", lambda status: len(status["actors"]) == 2
                                   and all(sum(actor["faults"].values()) >= 2
                                           for actor in status["actors"]))
        return train, status

    def assert_counted(self, kind, text, status):
        """Faults of this kind alone: for each actor, and summed up."""
        for actor in status["actors"]:
            self.assertEqual(list(actor["faults"]), KINDS)
            self.assertEqual(actor["faults"], {**dict.fromkeys(KINDS, 0),
                                               kind: actor["dropped_steps"]})
            self.assertIn(text, actor["last_fault"])
        self.assertEqual(status["faults"][kind],
                         sum(actor["faults"][kind] for actor in status["actors"]))
        self.assertRegex(status["last_fault"], rf"^actor-[01]: .*{text}")
        table = self.finish("polyak", "status", f"--connect={self.endpoint}")
        self.assertEqual(table.end(), 0)
        word = kind.replace("_", " ")
        self.assertRegex(table.out, rf"(?m)^  faults      \d+ {word}; last: actor-[01]: ")
        lines = re.findall(rf"(?m)^        faults   \d+ {word}; last: ", table.out)
        self.assertEqual(len(lines), 2)

    def assert_in_metrics(self, kind, at_least):
        rows = self.metrics()
        for other in KINDS:
            counts = [int(row[f"env_{other}"]) for row in rows]
            self.assertEqual(counts, sorted(counts), f"env_{other} goes back")
            self.assertEqual(counts[-1] > 0, other == kind)
        self.assertGreaterEqual(int(rows[-1][f"env_{kind}"]), at_least)

    def check(self, options, kind, text, *more):
        train, status = self.train_midway(options, 3000, *more)
        self.assert_counted(kind, text, status)
        self.assertEqual(train.end(), 0)
        self.assertRegex(train.log, rf"(?m)^  faults    \d+ {kind.replace('_', ' ')}; last: actor-[01]: ")
        self.assert_done(3000, updates=2500)
        self.assert_in_metrics(kind, status["faults"][kind])
        self.assertEqual(Log(self.path("run", "replay")).check(), [])
        for actor in (0, 1):  # the learner says once what happened where
            lines = re.findall(rf"actor {actor} \(actor-[01]\): faults of its environments: .*",
                               train.log)
            self.assertEqual(len(lines), 1)
            self.assertIn(text, lines[0])

    def test_physics_that_diverge_are_counted_and_named(self):
        self.check("diverge_after=15", "diverged", "the point left the line")

    def test_observations_that_are_not_finite_are_counted_and_named(self):
        self.check("after=15", "not_finite", "observation 0 is nan")

    def test_a_fault_right_after_a_full_segment_leaves_a_sound_log(self):
        self.check("after=16", "not_finite", "observation 0 is nan", "--segment-steps=8")

    def test_faults_of_actors_that_left_are_still_counted(self):
        env = [f"--env={NAN_ENV}", "--env-options=after=15,us=2000,limit=50"]
        learner = self.learner(*env, *SMALL, "--total-env-steps=1500")
        first = self.actor("first", *env)
        status = self.status_shows("faults", lambda status: status["faults"]["not_finite"] >= 2)
        first.kill()
        first.end()
        second = self.actor("second", *env)
        later = self.status_shows("the second alone", lambda status: status["actors"] and
                                  [actor["name"] for actor in status["actors"]] == ["second"] and
                                  status["actors"][0]["faults"]["not_finite"] > 0)
        self.assertGreater(later["faults"]["not_finite"], status["faults"]["not_finite"])
        self.assertGreater(later["faults"]["not_finite"],
                           later["actors"][0]["faults"]["not_finite"])
        self.assertEqual([learner.end(), second.end()], [0, 0])

    def test_evaluations_that_diverge_are_told_and_are_never_the_best(self):
        train = self.finish("polyak", "train", "--run-dir=run", f"--env={NAN_ENV}",
                            "--env-options=diverge_after=5,limit=50", *SMALL, "--json",
                            "--eval-interval-env-steps=500", "--eval-episodes=3",
                            "--total-env-steps=1500")
        self.assertEqual(train.end(), 0)
        said = re.findall(r"evaluation at \d+ env steps: .*", train.log)
        self.assertGreater(len(said), 0)
        for line in said:
            self.assertIn("; 3 of 3 episodes diverged", line)
        self.assertIn("episode 0 of the evaluation diverged at step 5", train.log)
        self.assertIn("  diverged  20 of 20 episodes: their returns are partial", train.log)
        self.assertEqual(json.loads(train.out.splitlines()[-1])["diverged"], 20)
        self.assert_refused(1, "best", "polyak", "eval", "--run-dir=run", "--checkpoint=best")
        self.assertEqual(self.evaluate(episodes=4)["diverged"], 4)
        score = self.finish("polyak", "eval", "--run-dir=run", "--episodes=4")
        self.assertEqual(score.end(), 0)
        self.assertIn("4 of 4 episodes diverged", score.out)

    def test_what_ended_an_actor_is_named(self):
        env = [f"--env={NAN_ENV}", "--env-options=fail_after=20,limit=50"]
        learner = self.learner(*env, *SMALL, "--total-env-steps=100000")
        self.assertEqual(self.actor("sick", *env).end(), 1)
        reason = "test_nan_env: step failed: the line?broke"
        learner.says(f"actor sick says goodbye; its last fault: {reason}")
        self.assertEqual(self.status()["last_fault"], f"sick: {reason}")

    def test_many_faults_are_an_alarm(self):
        env = [f"--env={NAN_ENV}", "--env-options=after=1,us=100"]
        self.learner(*env, *SMALL, "--total-env-steps=100000")
        self.actor("sick", *env)
        status = self.status_shows("an alarm", lambda status: status["alarms"])
        self.assertRegex(status["alarms"][0], r"actor 0 \(sick\): more than 100 faults of "
                                              r"environments within a minute: .*nan")


main()
