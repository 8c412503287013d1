"""What is refused: one line that says why, the right exit code, and nothing left behind."""

import os
import socket

from harness import PLUGINS, SMALL, EndToEnd, main

BAD_PLUGINS = {
    "bad_abi_old.so": "has version 0 of the plugin interface",
    "bad_abi_new.so": "has version 99 of the plugin interface",
    "bad_half_state.so": "all three or none",
    "bad_no_symbol.so": "has no symbol polyak_env_api",
    "bad_null_table.so": "returned no table",
    "bad_short_table.so": "lacks the required function step",
}


class BadInput(EndToEnd):
    def assert_no_run(self, run="run"):
        for name in ("config.yaml", "run.json", "metrics.csv"):
            self.assertFalse(os.path.exists(self.path(run, name)), name)
        self.assertEqual(self.checkpoints(run), [])
        self.assertEqual(os.listdir(self.sockets), [])

    def assert_refused_by_all(self, code, text, *args):
        """The three programs that take the flags of a run refuse them alike."""
        self.assert_refused(code, text, "polyak", "train", "--env=pendulum", "--run-dir=run", *args)
        self.assert_refused(code, text, "polyak-learner", "--run-dir=run", *args)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_flags_that_are_wrong(self):
        self.assert_refused_by_all(2, "did you mean --actors?", "--actros=2")
        self.assert_refused_by_all(2, "out of range", "--tau=2")
        self.assert_refused_by_all(2, "--hidden", "--hidden=64,x")
        self.assert_refused_by_all(2, "--total-env-steps", "--total-env-steps=-1")
        self.assert_refused(2, "did you mean --connect?", "polyak-actor", "--env=pendulum",
                            "--conect=tcp://127.0.0.1:1")
        self.assert_refused(2, "--env is missing", "polyak-actor")
        self.assert_refused(2, "--run-dir is missing", "polyak-learner")

    def test_keys_of_a_file_that_are_wrong(self):
        self.write("unknown.yaml", "seed: 3\ntau_: 0.1\n")
        self.assert_refused_by_all(2, "tau", "--config=unknown.yaml")
        self.write("range.yaml", "tau: 3\n")
        self.assert_refused_by_all(2, "out of range", "--config=range.yaml")
        self.write("broken.yaml", "tau: [1,\n")
        self.assert_refused_by_all(2, "broken.yaml", "--config=broken.yaml")
        self.assert_refused_by_all(2, "missing.yaml", "--config=missing.yaml")

    def test_environments_that_do_not_exist(self):
        known = "did you mean 'pendulum'?"
        self.assert_refused(2, known, "polyak", "train", "--env=pendulu", "--run-dir=run")
        self.assert_refused(2, known, "polyak-actor", "--env=pendulu")
        self.assert_refused(2, "no such file", "polyak", "train", "--env=./none.so",
                            "--run-dir=run")
        self.assert_refused(2, "cannot read 'after=x'", "polyak-actor",
                            f"--env={PLUGINS}/nan_env.so", "--env-options=after=x")
        self.assertFalse(os.path.exists(self.path("run")))

    def test_plugins_that_do_not_fit(self):
        for name, text in BAD_PLUGINS.items():
            with self.subTest(name):
                actor = self.finish("polyak-actor", f"--env={PLUGINS}/{name}")
                train = self.finish("polyak", "train", f"--env={PLUGINS}/{name}", "--run-dir=run")
                for program in (actor, train):
                    self.assertEqual(program.end(), 1)
                    self.assertEqual(program.log.count("\n"), 1)
                    self.assertIn(text, program.log)
        self.assertFalse(os.path.exists(self.path("run")))

    def test_endpoints_in_use(self):
        for offset, name in ((0, "uplink"), (1, "weights")):
            with self.subTest(name), socket.socket() as taken:
                taken.bind(("127.0.0.1", self.port + offset))
                taken.listen()
                self.assert_refused(1, f"{self.port + offset}", "polyak-learner", "--run-dir=run",
                                    f"--bind={self.endpoint}")
            self.assert_no_run()
        # A directory without a run may be used again.
        self.learner()

    def test_endpoints_that_are_none(self):
        for program in (["polyak-learner", "--run-dir=run", "--bind=nonsense"],
                        ["polyak-actor", "--env=pendulum", "--connect=nonsense"]):
            refused = self.finish(*program)
            self.assertEqual(refused.end(), 2)
            self.assertIn("nonsense", refused.log)
            self.assertEqual(refused.log.count("\n"), 1)
        self.assert_no_run()

    def test_run_directories_that_cannot_be_written(self):
        self.write("file", "")
        for directory in ("file", "file/run", "/proc/run"):
            with self.subTest(directory):
                self.assert_refused(1, directory.split("/run")[0], "polyak-learner",
                                    f"--run-dir={directory}")
                train = self.finish("polyak", "train", "--env=pendulum", f"--run-dir={directory}")
                self.assertEqual(train.end(), 1)
                self.assertEqual(len(train.log.splitlines()), 1, train.log)
                self.assertIn(directory.split("/run")[0], train.log)
        self.assertEqual(os.listdir(self.sockets), [])

    def test_actors_of_another_environment(self):
        learner = self.learner("--env=pendulum", *SMALL)
        other = self.actor("other", "--env=cartpole_swingup")
        self.assert_fails(other, 1, "the run trains pendulum, not cartpole_swingup")
        self.actor("right", "--env=pendulum")
        self.reaches(1)
        other = self.actor("other", "--env=cartpole_swingup")
        self.assert_fails(other, 1, "refuses: ")
        self.assertIsNone(learner.popen.poll())

    def test_actors_of_the_same_environment_with_other_options(self):
        env = f"--env={PLUGINS}/slow_env.so"
        self.learner(*SMALL)
        self.actor("right", env, "--env-options=limit=20")
        self.reaches(1)
        other = self.actor("other", env, "--env-options=limit=30")
        self.assert_fails(other, 1, "a step limit of 20, not 30")


main()
