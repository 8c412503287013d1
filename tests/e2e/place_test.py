"""Actors that suit the place where they run: they spool, end by themselves, and say where they are."""

import os

from harness import SMALL, EndToEnd, main
from plog import Log

WARMUP = 500
RUN_GOES_ON = 3  # exit code
SPOOL = 8  # segments: half a thousand steps of the environment below
# 500 steps a second at most, in segments of 64.
PENDULUM = ["--env=pendulum", "--env-options=step_ms=2"]


class Place(EndToEnd):
    def log(self):
        return Log(self.path("run", "replay"))

    def spool_while_the_learner_is_dead(self, total):
        first = self.learner("--env=pendulum", *SMALL, f"--total-env-steps={total}")
        actor = self.actor("one", *PENDULUM, f"--spool-segments={SPOOL}")
        self.reaches(WARMUP + 200)  # it has a policy by now
        first.kill()
        first.end()
        actor.says("going on without the learner")
        actor.says(f"the spool is full: {SPOOL} segments wait for the learner")
        learner = self.learner("--resume")
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assertRegex(actor.log, rf"back after \d+\.\d s with {SPOOL} segments")
        self.assertNotIn("no longer knows this session", actor.log)
        self.assert_done(total, updates=total - WARMUP, killed=True)
        return actor

    def test_an_actor_goes_on_without_its_learner_and_nothing_is_lost(self):
        total = 4000
        actor = self.spool_while_the_learner_is_dead(total)
        self.assertNotIn("are left", actor.log)
        self.assertEqual(self.log().check(), [])  # no session has a hole
        self.assertEqual(self.log().gaps, [])
        self.assertEqual(self.log().env_steps, total)

    def test_a_run_ends_at_its_total_where_more_was_spooled(self):
        self.spool_while_the_learner_is_dead(1050)
        self.assertEqual(self.log().env_steps, 1050)

    def test_an_actor_ends_after_exactly_its_steps_and_all_of_them_are_there(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=3000")
        mortal = self.actor("mortal", "--env=pendulum", "--envs-per-actor=3",
                            "--exit-after-steps=777")
        self.assertEqual(mortal.end(), RUN_GOES_ON)
        mortal.says("777 env steps are taken: this actor ends (exit_after_steps)")
        self.assertNotIn("are left", mortal.log)
        other = self.actor("other", "--env=pendulum")
        self.assertEqual([learner.end(), other.end()], [0, 0])
        steps = {}
        for segment in self.log().segments:
            steps[segment.session] = steps.get(segment.session, 0) + segment.num_steps
        self.assertEqual(list(steps.values()), [777, 3000 - 777])
        self.assert_done(3000)

    def test_an_actor_ends_with_its_lifetime(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=2000")
        mortal = self.actor("mortal", *PENDULUM, "--max-lifetime-s=1")
        self.assertEqual(mortal.end(), RUN_GOES_ON)
        mortal.says("its lifetime is over after")
        self.assertNotIn("are left", mortal.log)
        alone = self.actor("alone", "--env=pendulum", "--max-lifetime-s=1",
                           "--connect=ipc://nobody", "--role=evaluator")
        self.assertEqual(alone.end(), RUN_GOES_ON)
        other = self.actor("other", "--env=pendulum")
        self.assertEqual([learner.end(), other.end()], [0, 0])
        self.assert_done(2000)

    def test_status_shows_names_labels_and_what_waits(self):
        self.learner("--env=pendulum", *SMALL, "--total-env-steps=1000000")
        self.actor("one", *PENDULUM, "--labels=rack=4,zone=a")
        self.actor("", *PENDULUM)
        status = self.status_shows("two actors", lambda s: len(s["actors"]) == 2)
        actors = {actor["name"]: actor for actor in status["actors"]}
        self.assertEqual(actors.pop("one")["labels"], "rack=4,zone=a")
        (name, other), = actors.items()
        self.assertEqual(name, f"{os.uname().nodename[:40]}/{self.programs[-1].pid}")
        self.assertEqual(other["labels"], "")
        self.assertIn("outbox_segments", other)
        self.assert_refused(2, "--labels ends with a comma", "polyak-actor", *PENDULUM,
                            "--labels=a=1,")
        self.assert_refused(2, 'has "rack", which is no key=value', "polyak-actor", *PENDULUM,
                            "--labels=rack")

    def test_a_program_stays_on_the_processors_named(self):
        usable = sorted(os.sched_getaffinity(0))
        learner = self.learner("--env=pendulum", *SMALL, f"--cpus={usable[-1]}")
        actor = self.actor("one", *PENDULUM, f"--cpus={usable[0]}")
        actor.says("connected to")
        # Also those threads that libraries had before the program began.
        for program, cpu in ((learner, usable[-1]), (actor, usable[0])):
            threads = os.listdir(f"/proc/{program.pid}/task")
            self.assertEqual([os.sched_getaffinity(int(thread)) for thread in threads],
                             [{cpu}] * len(threads))
        for program in ("polyak-actor", "polyak-learner"):
            self.assert_refused(2, "as in 0,4-7", program, "--env=pendulum", "--cpus=first")
            self.assert_refused(2, "this process may not use 65535", program, "--env=pendulum",
                                "--cpus=65535")


main()
