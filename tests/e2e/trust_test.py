"""Keys: who may join a run, who no longer may, and how keys are changed while a run goes on."""

import os
import re
import shutil
import time

from harness import SLOW, SMALL, EndToEnd, main, wait_until

REVOKED_WITHIN_S = 5


class Trust(EndToEnd):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("allowed"))
        self.keygen("learner")

    def keygen(self, name, *roles):
        flags = [f"--roles={','.join(roles)}"] if roles else []
        self.assertEqual(self.finish("polyak", "keygen", name, *flags).end(), 0)

    def allow(self, name):
        shutil.copy(self.path(f"{name}.pub"), self.path("new"))
        os.rename(self.path("new"), self.path("allowed", f"{name}.pub"))

    def add(self, name, *roles):
        self.keygen(name, *roles)
        self.allow(name)

    def revoke(self, name):
        os.remove(self.path("allowed", f"{name}.pub"))

    def keys(self, name, learner="learner.pub"):
        return [f"--key={name}.key", f"--learner-key={learner}"]

    def trusting_learner(self, *args, key="learner"):
        return self.learner(*SLOW, *SMALL, f"--key={key}.key", "--allowed-keys=allowed", *args)

    def test_a_run_with_keys_goes_to_its_end(self):
        self.add("node1", "actor", "evaluator")
        learner = self.trusting_learner("--total-env-steps=1500", "--eval-interval-env-steps=500",
                                        "--eval-episodes=1")
        actor = self.actor("a", *SLOW, *self.keys("node1"))
        evaluator = self.actor("e", *SLOW, *self.keys("node1"), "--role=evaluator")
        self.assertEqual([learner.end(), actor.end(), evaluator.end()], [0, 0, 0])
        self.assertIn("actor 0 is connected", learner.log)
        self.assertIn("evaluator e is connected", learner.log)

    def test_those_who_may_not_are_told_and_named_and_nothing_of_theirs_arrives(self):
        self.add("node1", "actor")
        self.add("ann", "observer")
        self.keygen("stranger", "actor")
        learner = self.trusting_learner("--total-env-steps=100000")
        self.actor("right", *SLOW, *self.keys("node1")).says("connected to")
        for name, flags, text in (
                ("unknown", self.keys("stranger"), "it does not allow this --key"),
                ("mistaken", self.keys("node1", "ann.pub"), "is --learner-key its key?"),
                ("plain", [], "it wants keys: give --key and --learner-key")):
            with self.subTest(name):
                self.actor(name, *SLOW, *flags).says(text)
                self.assertNotIn(f"connected: {name}", learner.log)
        observer = self.actor("observer", *SLOW, *self.keys("ann"))
        self.assertEqual(observer.end(), 1)
        self.assertIn("role", observer.log)
        self.assertIn("its key is not allowed", learner.log)
        status = self.finish("polyak", "status", f"--connect={self.endpoint}", *self.keys("ann"))
        self.assertEqual(status.end(), 0)
        self.assertIn("right", status.out)
        for name in ("unknown", "mistaken", "plain"):
            self.assertNotIn(name, status.out)

    def test_a_revoked_actor_is_out_within_seconds_and_another_goes_on(self):
        self.add("good", "actor")
        self.add("bad", "actor")
        learner = self.trusting_learner("--total-env-steps=100000")
        good = self.actor("good", *SLOW, *self.keys("good"))
        bad = self.actor("bad", *SLOW, *self.keys("bad"))
        for actor in (good, bad):
            actor.says("connected to")
        self.reaches(600)
        began = time.monotonic()
        self.revoke("bad")
        learner.says("key bad is no longer allowed")
        wait_until(lambda: re.search("refuse|allow|lost|waiting", bad.log), "the revoked one notices")
        self.assertLess(time.monotonic() - began, REVOKED_WITHIN_S)
        before = int(self.metrics()[-1]["env_steps"])
        self.reaches(before + 500)
        self.assertIsNone(good.popen.poll())
        self.assertNotIn("is lost", good.log)
        # And back: what it holds is not lost.
        self.allow("bad")
        learner.says("key bad is allowed as actor")

    def test_the_learners_key_is_changed_in_steps(self):
        self.add("node1", "actor")
        self.keygen("learner-2")
        learner = self.trusting_learner("--total-env-steps=3000")
        actor = self.actor("a", *SLOW, *self.keys("node1", "learner.pub,learner-2.pub"))
        actor.says("connected to")
        self.reaches(300)
        learner.kill(15)
        learner.end()
        learner = self.trusting_learner("--resume", key="learner-2")
        self.assertEqual([learner.end(), actor.end()], [0, 0])

    def test_what_is_wrong_with_keys_is_said_before_anything_is_made(self):
        public = "--bind=tcp://0.0.0.0:%d" % self.port
        self.assert_refused(2, "--insecure", "polyak-learner", "--run-dir=run", public)
        self.assert_refused(2, "--allowed-keys", "polyak-learner", "--run-dir=run",
                            "--key=learner.key")
        self.assert_refused(2, "--key", "polyak-learner", "--run-dir=run", "--allowed-keys=allowed")
        self.assert_refused(2, "--learner-key", "polyak-actor", "--env=pendulum",
                            "--key=learner.key")
        self.assertFalse(os.path.exists(self.path("run")))
        os.chmod(self.path("learner.key"), 0o644)
        self.assert_refused(2, "chmod 600", "polyak-actor", "--env=pendulum",
                            *self.keys("learner"))
        insecure = self.start("polyak-learner", "--run-dir=run", public, "--insecure")
        insecure.says("listening on")
        self.assertIn("neither encrypted nor authenticated", insecure.log)


main()
