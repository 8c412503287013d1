"""A learner and its actors over TCP: actors come, go and crash, and the run ends as it must."""

import os
import re

from harness import NAN_ENV, SLOW, SMALL, EndToEnd, main, wait_until

# On a busy machine a program may not have its turn for longer than three times 200 ms: it is lost
# then, and where the run ends meanwhile, nobody tells it so.
CALM = [*SMALL, "--heartbeat-interval-ms=1000"]
ALWAYS = "--total-env-steps=100000000"  # until ends_soon()
METRICS_DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "metrics.md")


def documented_columns():
    with open(METRICS_DOCS, encoding="utf-8") as file:
        return re.findall(r"^\| `(\w+)` \|", file.read(), re.MULTILINE)


class Fleet(EndToEnd):
    def ends_soon(self):
        """Tells a run that goes on always where to end. However late its actors came, they are there
        by now. Its env steps."""
        def told():
            env_steps = self.status()["env_steps"] + 1001
            said = self.finish("polyak", "set", f"total_env_steps={env_steps}",
                               f"--connect={self.endpoint}")
            return said.end() == 0 and env_steps
        return wait_until(told, "the run is told its end")

    def test_a_killed_actor_is_replaced_and_the_run_ends_at_its_total(self):
        learner = self.learner(*SLOW, *CALM, ALWAYS)
        first = self.actor("first", *SLOW)
        second = self.actor("second", *SLOW)
        self.reaches(800)
        second.kill()
        third = self.actor("third", *SLOW)
        third.says("connected to")
        env_steps = self.ends_soon()
        self.assertEqual([learner.end(), first.end(), third.end()], [0, 0, 0])
        self.assertIn("actor 0 is connected", learner.log)
        self.assertRegex(learner.log, r"actor \d+ .*third")
        self.assert_done(env_steps, updates=env_steps - 500)
        self.assertEqual(list(self.metrics()[0]), documented_columns())

    def test_an_actor_with_many_environments_joins_others(self):
        learner = self.learner(*SLOW, *CALM, ALWAYS)
        many = self.actor("many", *SLOW, "--envs-per-actor=5")
        one = self.actor("one", *SLOW)
        for actor in (many, one):
            actor.says("connected to")
        env_steps = self.ends_soon()
        self.assertEqual([learner.end(), many.end(), one.end()], [0, 0, 0])
        self.assertIn("5 environments", learner.log)
        self.assert_done(env_steps, updates=env_steps - 500)

    def test_an_actor_waits_for_a_learner_that_starts_later(self):
        actor = self.actor("early", "--env=pendulum")
        actor.says(f"waiting for the learner at {self.endpoint}")
        learner = self.learner(*CALM, "--total-env-steps=1000")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assertIn(f"connected to {self.endpoint} as actor 0", actor.log)
        self.assert_done(1000, updates=500)

    def test_the_endpoint_is_read_from_a_file_that_appears_later(self):
        actor = self.actor("early", "--env=pendulum", "--connect=@endpoint")
        actor.says("waiting for the learner at @endpoint")
        learner = self.learner(*CALM, "--total-env-steps=1000")
        self.write("new", self.endpoint + "\n")
        os.rename(self.path("new"), self.path("endpoint"))
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assert_done(1000)

    def test_an_actor_that_is_stopped_takes_no_step_along(self):
        learner = self.learner(*SLOW, *CALM, "--total-env-steps=2000")
        first = self.actor("first", *SLOW)
        self.reaches(300)
        first.kill(15)
        self.assertEqual(first.end(), -15)
        self.actor("second", *SLOW)
        self.assertEqual(learner.end(), 0)
        self.assertNotIn("lost", learner.log)
        self.assert_done(2000, updates=1500)

    def test_a_late_joiner_acts_with_the_newest_policy(self):
        learner = self.learner(*SLOW, *CALM, "--total-env-steps=3000")
        first = self.actor("first", *SLOW)
        self.reaches(800)
        first.kill(15)
        first.end()
        # All that was sent is ingested and all that is owed is done: from here on nothing moves.
        idle = self.status_shows("that nothing is left to do",
                                 lambda status: status["updates_owed"] == 0
                                 and not status["actors"])
        self.reaches(idle["env_steps"])  # the row of the last steps may come later
        before = self.metrics()[-1]
        self.actor("late", *SLOW)
        self.reaches(int(before["env_steps"]) + 1)
        fresh = next(row for row in self.metrics()
                     if int(row["env_steps"]) > int(before["env_steps"]))
        # No cell at all would mean that it acted without a policy.
        self.assertEqual(fresh["policy_lag_updates"], "0")
        self.assertIn("late", [actor["name"] for actor in self.status()["actors"]])
        self.assertIsNone(learner.popen.poll())

    def test_steps_that_are_not_finite_are_dropped_counted_and_named(self):
        env = [f"--env={NAN_ENV}", "--env-options=after=20,us=2000"]
        learner = self.learner(*env, *CALM, "--total-env-steps=2000")
        actor = self.actor("sick", *env)
        actor.says("is dropped")
        self.assertRegex(actor.log, r"environment 0, episode 0, step 20 is dropped: .*nan")
        status = self.status_shows("dropped steps",
                                   lambda status: status["actors"]
                                   and status["actors"][0]["dropped_steps"] > 0)
        self.assertEqual(status["actors"][0]["name"], "sick")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assert_done(2000, updates=1500)


main()
