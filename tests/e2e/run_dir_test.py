"""What a run directory is protected from, and what damage to its checkpoints does."""

import os

from harness import SMALL, EndToEnd, main


class RunDirectory(EndToEnd):
    def train(self, total, *args, run="run"):
        done = self.finish("polyak", "train", "--env=pendulum", *SMALL,
                           f"--total-env-steps={total}", f"--run-dir={run}", *args)
        self.assertEqual(done.end(), 0)
        return done

    def refuse_learner(self, code, text, *args):
        """Refused, and the run is as it was."""
        before = self.everything()
        self.assert_refused(code, text, "polyak-learner", f"--bind={self.endpoint}",
                            "--run-dir=run", *args)
        self.assertEqual(self.everything(), before)

    def everything(self):
        found = {}
        for directory, _, files in os.walk(self.path("run")):
            for name in files:
                with open(os.path.join(directory, name), "rb") as file:
                    found[os.path.join(directory, name)] = file.read()
        return found

    def test_a_run_is_not_begun_over_another(self):
        self.train(1000)
        self.refuse_learner(2, "holds a run already")
        self.assert_refused(2, "holds a run already", "polyak", "train", "--env=pendulum",
                            "--run-dir=run")

    def test_a_resume_where_no_run_is_says_so_and_begins_one(self):
        self.assertIn("run holds no run, so a new one begins there", self.train(1000, "--resume").log)
        self.assertNotIn("holds no run", self.train(1500, "--resume").log)

    def test_a_new_run_is_no_resumed_one(self):
        self.assertNotIn("holds no run", self.train(1000).log)

    def test_a_run_does_not_become_another(self):
        self.train(1000)
        self.refuse_learner(2, "env", "--resume", "--env=mountain_car_continuous")
        self.refuse_learner(2, "gamma", "--resume", "--gamma=0.5")
        self.refuse_learner(2, "hidden", "--resume", "--hidden=8")
        self.assert_refused(2, "env", "polyak", "train", "--resume", "--run-dir=run",
                            "--env=cartpole_swingup")

    def test_an_actor_of_another_environment_is_refused_by_a_resumed_run(self):
        self.train(1000)
        self.learner("--resume", "--total-env-steps=2000")
        other = self.actor("other", "--env=mountain_car_continuous")
        self.assert_fails(other, 1, "refuses: ")

    def test_two_learners_do_not_share_a_directory(self):
        self.learner()
        self.assert_refused(1, "another learner runs in run", "polyak-learner", "--run-dir=run",
                            "--resume", "--bind=ipc://elsewhere")

    def damage(self, path, how):
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            if how == "truncated":
                file.truncate(len(content) // 2)
            elif how == "empty":
                file.truncate(0)
            else:
                file.seek(len(content) * 3 // 4)
                file.write(bytes([content[len(content) * 3 // 4] ^ 1]))

    def test_a_damaged_checkpoint_is_passed_over(self):
        self.train(1000)
        for how in ("truncated", "flipped", "empty"):
            with self.subTest(how):
                self.train(2000, "--resume")
                # There may be others in between, where the machine is slow.
                *_, sound, damaged = self.checkpoints()
                self.damage(damaged, how)
                name = os.path.relpath(damaged, self.directory)

                refused = self.finish("polyak", "eval", f"--checkpoint={name}")
                self.assertEqual(refused.end(), 1)
                self.assertEqual(refused.out, "")
                self.assertEqual(refused.log.count("\n"), 1)
                self.assertIn(name, refused.log)

                older = self.evaluate()
                self.assertEqual(older["checkpoint"], os.path.relpath(sound, self.directory))
                self.assertIn(f"checkpoint passed over: {name}", self.programs[-1].log)
                again = self.train(2000, "--resume")
                self.assertIn(f"checkpoint passed over: {name}", again.log)
                self.assertIn(f"resumed at {older['env_steps']} env steps", again.log)
                self.assertEqual(self.evaluate()["env_steps"], 2000)
                os.unlink(self.checkpoints()[-1])

    def test_where_every_checkpoint_is_damaged_the_run_does_not_begin_again(self):
        self.train(1000)
        for checkpoint in self.checkpoints():
            self.damage(checkpoint, "truncated")
        learner = self.finish("polyak-learner", f"--bind={self.endpoint}", "--run-dir=run",
                              "--resume")
        self.assert_fails(learner, 1, "is sound")


main()
