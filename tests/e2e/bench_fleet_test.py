"""`polyak bench fleet`: simulated actors at a real learner, and that not one of their steps is lost."""

import json
import signal

from harness import SLOW, SMALL, EndToEnd, is_running, main, wait_until

PEERS = 20
LEARNER = ["--env=pendulum", *SMALL, "--updates-per-env-step=0", "--total-env-steps=1000000000",
           "--replay-log-keep=all", "--segment-flush-ms=200", "--threads=1"]


class BenchFleet(EndToEnd):
    def fleet(self, *args):
        return self.start("polyak", "bench", "fleet", f"--connect={self.endpoint}",
                          "--env=pendulum", f"--peers={PEERS}", "--processes=3", "--step-ms=10",
                          "--json", *args)

    def sessions(self):
        """What the run's log holds of each session: segments and steps."""
        inspected = self.finish("polyak", "inspect", "--run-dir=run", "--json")
        self.assertEqual(inspected.end(), 0)
        found = json.loads(inspected.out)
        self.assertEqual(found["damage"], [])
        self.assertTrue(all(session["missing_sequences"] == 0 for session in found["sessions"]))
        return {session["session"]: [session["segments"], session["env_steps"]]
                for session in found["sessions"] if session["segments"] > 0}

    def assert_nothing_lost(self, said):
        """What the actors count is what the learner has, session by session."""
        self.assertGreater(said["steps"], 0)
        self.assertEqual(said["acked_steps"], said["steps"])
        self.assertEqual(said["acked_segments"], said["segments"])
        for key in ("lost_segments", "lost_steps", "unacked_segments", "refused"):
            self.assertEqual(said[key], 0, key)
        self.assertEqual(len(said["sessions"]), PEERS)
        self.assertEqual(sum(steps for _, steps in said["sessions"].values()), said["steps"])
        self.assertEqual(self.sessions(), said["sessions"])

    def test_all_that_is_counted_is_at_the_learner(self):
        learner = self.learner(*LEARNER)
        done = self.fleet("--seconds=1.5", "--envs-per-actor=2", f"--reference={self.endpoint}")
        self.assertEqual(done.end(), 0)
        said = json.loads(done.out)
        self.assertEqual(self.status()["env_steps"], said["steps"])
        learner.kill(signal.SIGTERM)
        learner.end()
        self.assert_nothing_lost(said)
        self.assertEqual(said["ideal_env_steps_per_s"], PEERS * 2 * 100)
        self.assertEqual(said["reconnects"], 0)
        self.assertGreater(said["weights_per_actor_per_s"], 0)
        self.assertGreater(said["weights_samples"], 0)
        self.assertGreaterEqual(said["weights_latency_p99_ms"], said["weights_latency_p50_ms"])
        self.assertGreater(len(said["timeline"]), 1)

    def test_a_learner_that_is_killed_and_resumed_has_all(self):
        learner = self.learner(*LEARNER)
        done = self.fleet("--seconds=100")
        self.reaches(2000)
        learner.kill()
        learner.end()
        learner = self.learner("--resume")
        after = self.status()["env_steps"]
        wait_until(lambda: self.status()["env_steps"] > after + 1000, "steps after the resume")
        done.kill(signal.SIGINT)
        self.assertEqual(done.end(), 1)
        self.assertIn("stopped by a signal", done.log)
        learner.kill(signal.SIGTERM)
        learner.end()
        said = json.loads(done.out)
        self.assert_nothing_lost(said)
        self.assertGreaterEqual(said["reconnects"], PEERS)

    def test_it_leaves_no_process_behind(self):
        self.learner(*LEARNER)
        done = self.fleet("--seconds=100")
        done.says("are connected")
        with open(f"/proc/{done.pid}/task/{done.pid}/children", encoding="utf-8") as file:
            children = [int(word) for word in file.read().split()]
        self.assertEqual(len(children), 3)
        done.kill()
        done.end()
        wait_until(lambda: not any(map(is_running, children)), "the processes are gone")

    def test_what_cannot_be_is_refused_in_one_line(self):
        for text, args in (("--env is missing", []),
                           ("did you mean 'pendulum'?", ["--env=pendulun"]),
                           ("--mode belongs to", ["--env=pendulum", "--mode=log"]),
                           ("--key needs --learner-key", ["--env=pendulum", "--key=none"]),
                           ("give more --processes", ["--env=pendulum", "--peers=65536",
                                                      "--processes=1"])):
            self.assert_refused(2, text, "polyak", "bench", "fleet", *args)
        self.learner(*SMALL)
        self.actor("one", *SLOW)  # the first actor brings the run's environment
        self.reaches(1)
        self.assert_refused(1, "an actor cannot join: the learner at", "polyak", "bench", "fleet",
                            f"--connect={self.endpoint}", "--env=pendulum")


if __name__ == "__main__":
    main()
