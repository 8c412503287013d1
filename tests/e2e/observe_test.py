"""`polyak eval` and `polyak status`."""

import json

from harness import SLOW, SMALL, EndToEnd, main


class Observe(EndToEnd):
    def train(self):
        done = self.finish("polyak", "train", "--env=pendulum", *SMALL, "--total-env-steps=3000",
                           "--eval-interval-env-steps=1000", "--run-dir=run")
        self.assertEqual(done.end(), 0)

    def test_the_same_seed_gives_the_same_evaluation(self):
        self.train()
        first = self.evaluate("--seed=7", episodes=5)
        self.assertEqual(self.evaluate("--seed=7", episodes=5), first)
        self.assertNotEqual(self.evaluate("--seed=8", episodes=5), first)
        self.assertEqual([first["episodes"], first["length_mean"]], [5, 200])
        self.assertGreater(first["return_std"], 0)

    def test_the_best_policy_or_a_file_is_evaluated(self):
        self.train()
        best = self.evaluate("--checkpoint=best")
        self.assertTrue(best["checkpoint"].endswith("best.safetensors"))
        newest = self.evaluate()
        by_name = self.evaluate(f"--checkpoint={newest['checkpoint']}")
        self.assertEqual(by_name, newest)

    def test_an_evaluation_that_cannot_be_is_refused(self):
        self.train()
        self.assert_refused(1, "another environment", "polyak", "eval", "--run-dir=run",
                            "--env=cartpole_swingup")
        self.assert_refused(1, "none.safetensors", "polyak", "eval", "--run-dir=run",
                            "--checkpoint=none.safetensors")
        self.assert_refused(1, "nowhere", "polyak", "eval", "--run-dir=nowhere")
        self.assert_refused(2, "--run-dir", "polyak", "eval")

    def test_the_status_of_a_run_lists_its_actors(self):
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        before = self.status()
        self.assertEqual([before["phase"], before["env_steps"], before["actors"]],
                         ["waiting for actors", 0, []])
        self.actor("one", *SLOW)
        self.actor("two", *SLOW)
        self.reaches(700)
        status = self.status()
        self.assertEqual(sorted(actor["name"] for actor in status["actors"]), ["one", "two"])
        self.assertEqual(sorted(actor["actor_index"] for actor in status["actors"]), [0, 1])
        for actor in status["actors"]:
            self.assertGreater(actor["env_steps"], 0)
        self.assertEqual([status["env"], status["epoch"], status["total_env_steps"]],
                         ["test_slow_env", 1, 100000])
        self.assertGreaterEqual(status["env_steps"], 700)
        table = self.finish("polyak", "status", f"--connect={self.endpoint}")
        self.assertEqual(table.end(), 0)
        for word in ("test_slow_env", "one", "two", "updates"):
            self.assertIn(word, table.out)

    def test_without_a_learner_there_is_no_status(self):
        self.assert_refused(1, f"no learner answers at {self.endpoint}", "polyak", "status",
                            f"--connect={self.endpoint}", "--json")

    def test_a_status_has_no_influence_on_the_run(self):
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=1500")
        actor = self.actor("one", *SLOW)
        while learner.popen.poll() is None:
            asked = self.finish("polyak", "status", f"--connect={self.endpoint}", "--json")
            if asked.end() == 0:
                json.loads(asked.out)
                self.programs.remove(asked)
        self.assertEqual([learner.end(), actor.end()], [0, 0])
        self.assert_done(1500, updates=1000)


main()
