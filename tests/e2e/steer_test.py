"""`polyak set` and `polyak drain`, and what `polyak status` shows of them."""

import json

from harness import SLOW, SMALL, EndToEnd, main, wait_until

COLUMNS = 120


class Steer(EndToEnd):
    def steer(self, *args):
        return self.finish("polyak", *args, f"--connect={self.endpoint}")

    def test_a_key_is_set_while_the_run_goes_on(self):
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        self.actor("one", *SLOW)
        self.reaches(500)
        done = self.steer("set", "total_env_steps=1500")
        self.assertEqual(done.end(), 0)
        self.assertIn("1500", done.out)
        self.assertEqual(learner.end(), 0)
        self.assertEqual(int(self.metrics()[-1]["env_steps"]), 1500)

    def test_what_cannot_be_set_is_refused_in_one_line(self):
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        for word, text in (("gamma=0.5", "gamma"), ("actor_lr=x", "actor"),
                           ("nonsense=1", "nonsense")):
            self.assert_refused(2, text, "polyak", "set", word, f"--connect={self.endpoint}")
        refused = self.steer("set", "gamma=0.5", "--json")
        self.assertEqual(refused.end(), 2)
        self.assertFalse(json.loads(refused.out)["done"])

    def test_a_drained_actor_loses_nothing_and_the_others_go_on(self):
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        going = self.actor("node7/0", *SLOW)
        self.actor("node8/0", *SLOW)
        self.reaches(700)
        done = self.steer("drain", "node7/*")
        self.assertEqual(done.end(), 0)
        self.assertIn("1 actor drains: node7/0", done.out)
        self.assertIn("drained", done.out)
        self.assertEqual(going.end(), 0)
        self.assertNotIn("did not acknowledge", going.log)
        before = self.status()
        self.assertEqual([actor["name"] for actor in before["actors"]], ["node8/0"])
        wait_until(lambda: self.status()["env_steps"] > before["env_steps"] + 200,
                   "the other actor goes on")

    def test_nobody_of_that_name_is_told(self):
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        self.assert_refused(1, "no actor has that name", "polyak", "drain", "nobody",
                            f"--connect={self.endpoint}")

    def test_a_status_shows_both_sides_on_a_page(self):
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        self.actor("a-name-that-is-longer-than-its-column", "--labels=rack=4,zone=a", *SLOW)
        self.status_shows("a rate", lambda status: status["actors"] and
                          (status["actors"][0]["env_steps_per_s"] or 0) > 0)
        actor = self.status()["actors"][0]
        self.assertEqual([actor["labels"], actor["key"], actor["num_envs"], actor["draining"]],
                         ["rack=4,zone=a", "", 1, False])
        self.assertGreater(actor["send_credit"], 0)
        page = self.steer("status")
        self.assertEqual(page.end(), 0)
        self.assertIn("rack=4,zone=a", page.out)
        self.assertLessEqual(max(len(line) for line in page.out.splitlines()), COLUMNS)


if __name__ == "__main__":
    main()
