"""Actors and learner of one run are killed again and again; no step is lost, and none comes twice.

    kill_test.py                                          short, as in CI: no limit on times
    kill_test.py --kills-actor 50 --kills-learner 50 [--seed N]     the long form holds the limits

Half of the learner's kills are aimed at a moment at which it writes: a checkpoint, or the log. What
the run holds in the end is looked at from three sides: the bytes of the log, by a reader of our own;
what the actors said was acknowledged; and what `polyak inspect` and the checkpoint say.
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import time

from harness import SLOW, SMALL, EndToEnd, main, wait_until
from plog import Log

GO_ON_S = 10.0  # after a kill, and the time to read the log back:
READ_BYTES_PER_S = 200e6
AIM_S = 5.0
RERUN_S = 900  # deadline
ACTORS = 2
FAST = ["--env=pendulum"]
LONG = [*FAST, "--hidden=64,64", "--batch=64", "--warmup-env-steps=1000", "--replay-capacity=200000",
        "--metrics-interval-ms=100", "--checkpoint-interval-s=1", "--eval-interval-env-steps=0"]
ALWAYS = ["--total-env-steps=100000000", "--replay-log-keep=all"]
ACKNOWLEDGED = re.compile(r"session ([0-9a-f]{8})(, | ends with )(\d+) segments acknowledged")

options = argparse.Namespace(kills_actor=None, kills_learner=None, seed=None)


class Kill(EndToEnd):
    def begin(self, *args, env=()):
        self.env = env
        self.generation = 0
        self.learners = [self.learner(*args, *ALWAYS)]
        self.all_actors = []
        self.actors = [self.new_actor(i) for i in range(ACTORS)]
        self.reaches(2000)
        wait_until(self.checkpoints, "a checkpoint")
        self.last = self.now()
        self.all_logged = []  # at each kill of a learner: how many items, and the last
        self.torn_saves = self.torn_records = 0

    def new_actor(self, i):
        self.generation += 1
        actor = self.actor(f"actor-{i}.{self.generation}", *self.env)
        actor.name = f"actor-{i}.{self.generation}"
        self.all_actors.append(actor)
        return actor

    def now(self):
        """The learner's status, or None while it does not answer."""
        asked = self.finish("polyak", "status", f"--connect={self.endpoint}", "--json")
        self.programs.remove(asked)
        return json.loads(asked.out) if asked.end() == 0 else None

    def log_bytes(self):
        directory = self.path("run", "replay")
        return sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))

    def is_there_still(self):
        """No program ends that was not killed."""
        for program in [self.learners[-1], *self.actors]:
            self.assertIsNone(program.popen.poll())

    def answers(self, condition):
        """Waits for such a status, as long as everybody is there."""
        def look():
            self.is_there_still()
            status = self.now()
            return status if status and condition(status) else None
        return wait_until(look, "such a status")

    # --- Kills

    def save_begins(self):
        return any(".tmp-" in name for name in os.listdir(self.path("run", "checkpoints")))

    def log_grows(self):
        before, self.log_size = self.log_size, self.log_bytes()
        return self.log_size != before

    def kill_learner(self, aim):
        """Right when it saves, or appends; or at any moment."""
        self.log_size = self.log_bytes()
        seen = {"save": self.save_begins, "append": self.log_grows, "any": lambda: True}[aim]
        deadline = time.monotonic() + AIM_S
        while not seen() and time.monotonic() < deadline:
            pass
        self.learners[-1].kill()
        self.learners[-1].end()
        log = Log(self.path("run", "replay"))
        self.assertLessEqual(self.last["env_steps"], log.env_steps, "learned from, and not logged")
        self.logged = log.items[-1]
        self.all_logged.append((len(log.items), log.items[-1]))
        self.torn_records += bool(log.torn)
        hit = self.save_begins()
        self.torn_saves += hit
        return f"learner, {aim}{', in the middle of a save' if hit else ''}"

    def revive_learner(self):
        """Until env steps and updates rise again."""
        self.learners.append(self.start("polyak-learner", f"--bind={self.endpoint}",
                                        "--run-dir=run", "--resume"))
        first = self.answers(lambda status: status["env_steps"] >= self.logged.env_steps)
        self.answers(lambda status: status["env_steps"] > first["env_steps"]
                     and status["updates"] > first["updates"])

    def kill_actor(self, i):
        self.actors[i].kill()
        self.actors[i].end()
        return f"actor {i}"

    def revive_actor(self, i):
        """Until its own steps come in, and updates rise."""
        self.actors[i] = self.new_actor(i)
        before = self.now()

        def goes_on(status):
            mine = [actor for actor in status["actors"] if actor["name"] == self.actors[i].name]
            return mine and mine[0]["env_steps"] > 0 and status["updates"] > before["updates"]
        self.answers(goes_on)

    def kill(self, what, limits):
        self.last = self.now()
        if what == "actor":
            i = self.random.randrange(ACTORS)
            said, revive = self.kill_actor(i), lambda: self.revive_actor(i)
        else:
            said, revive = self.kill_learner(what), self.revive_learner
        began = time.monotonic()
        log_bytes = self.log_bytes()
        revive()
        took = time.monotonic() - began
        print(f"{said}: goes on after {took:.2f} s, log {log_bytes / 1e6:.1f} MB")
        if limits:
            self.assertLess(took, GO_ON_S + log_bytes / READ_BYTES_PER_S)
        return took

    def plan(self, kills_actor, kills_learner):
        aims = ["any", "save", "any", "append"]
        plan = ["actor"] * kills_actor + [aims[i % len(aims)] for i in range(kills_learner)]
        self.random.shuffle(plan)
        return plan

    # --- What must hold in the end

    def end_all(self):
        """In order: so everything that was stepped is acknowledged, and everything acknowledged is in
        the log."""
        names = {actor.name for actor in self.actors}
        self.answers(lambda status: names <= {actor["name"] for actor in status["actors"]})
        for actor in self.actors:
            actor.kill(signal.SIGTERM)
        for actor in self.actors:
            self.assertEqual(actor.end(), -signal.SIGTERM)
            self.assertNotIn("that the learner did not acknowledge", actor.log)
        self.learners[-1].kill(signal.SIGTERM)
        self.assertEqual(self.learners[-1].end(), -signal.SIGTERM)

    def assert_log_is_whole(self):
        log = Log(self.path("run", "replay"))
        self.assertEqual(log.check(), [])
        self.assertEqual((log.torn, log.gaps), ([], []))
        for count, last in self.all_logged:
            self.assertEqual(log.items[count - 1], last, "what was logged at a kill is gone")
        return log

    def assert_actors_agree(self, log):
        """Nothing that an actor knew to be acknowledged is missing; who left in order has no more."""
        said = 0
        for actor in self.all_actors:
            self.assertNotIn("no longer knows this session", actor.log)
            for session, how, sequence in ACKNOWLEDGED.findall(actor.log):
                said += 1
                watermark = log.watermark(session)
                self.assertGreaterEqual(watermark, int(sequence), f"{actor.name}, {session}")
                if "ends" in how:
                    self.assertEqual(watermark, int(sequence), f"{actor.name}, {session}")
        self.assertGreaterEqual(said, len(self.actors))
        for learner in self.learners:
            self.assertNotIn("acknowledged segments are lost", learner.log)
        return said

    def assert_inspection_agrees(self, log):
        """What our own reader says of the log, and each checkpoint of the replay that it had."""
        asked = self.finish("polyak", "inspect", "--run-dir=run", "--json")
        self.assertEqual(asked.end(), 0)
        seen = json.loads(asked.out)
        self.assertEqual((seen["first_position"], seen["last_position"], seen["env_steps"]),
                         (1, len(log.segments), log.env_steps))
        self.assertEqual((seen["gap_segments"], seen["missing_segments"], seen["damage"]), (0, 0, []))
        self.assertEqual({session["session"]: session["last_sequence"]
                          for session in seen["sessions"]},
                         {session.hex(): last for session, last in log.watermarks().items()})
        self.assertEqual({session["missing_sequences"] for session in seen["sessions"]}, {0})
        self.assertEqual({point["replay"] for point in seen["checkpoints"]}, {"same"})
        newest = seen["checkpoints"][-1]
        self.assertEqual((newest["log_position"], newest["env_steps"]),
                         (len(log.segments), log.env_steps))
        return len(seen["checkpoints"])

    def assert_training_can_be_done_again(self):
        """From the log alone, bit for bit, with all the kills in it."""
        began = time.monotonic()
        again = self.start("polyak", "rerun", "--run-dir=run", "--verify", "--json")
        self.assertEqual(again.popen.wait(RERUN_S), 0)
        said = json.loads(again.out)
        self.assertEqual((said["same"], said["complete"]), (True, True))
        print(f"done again in {time.monotonic() - began:.1f} s: {said['updates']} updates, "
              f"{said['checkpoints']} checkpoints on the way, the networks are the same")

    def hold(self, plan, limits, pause_s):
        times = {"actor": [], "learner": []}
        for what in plan:
            time.sleep(self.random.uniform(*pause_s))
            times["actor" if what == "actor" else "learner"].append(self.kill(what, limits))
        self.end_all()
        log = self.assert_log_is_whole()
        said = self.assert_actors_agree(log)
        points = self.assert_inspection_agrees(log)
        self.assert_training_can_be_done_again()
        for who, took in times.items():
            if took:
                print(f"{len(took)} kills of {who}: median {sorted(took)[len(took) // 2]:.2f} s, "
                      f"most {max(took):.2f} s")
        print(f"{self.torn_saves} kills in the middle of a save, {self.torn_records} of a record; "
              f"log: {log.env_steps} steps, "
              f"{len(log.segments)} segments of {len(log.watermarks())} sessions in "
              f"{len(log.names)} files, {log.num_bytes / 1e6:.1f} MB; {said} words of actors and {points} "
              "checkpoints agree")

    def test_no_step_is_lost_and_none_comes_twice(self):
        seed = random.randrange(1 << 32) if options.seed is None else options.seed
        print(f"seed {seed}")
        self.random = random.Random(seed)
        if options.kills_actor is None and options.kills_learner is None:
            self.begin(*SLOW, *SMALL, env=SLOW)
            self.hold(self.plan(3, 3), limits=False, pause_s=(0.1, 1.0))
        else:
            self.begin(*LONG, env=FAST)
            self.hold(self.plan(options.kills_actor or 0, options.kills_learner or 0), limits=True,
                      pause_s=(0.1, 3.0))


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills-actor", type=int)
    parser.add_argument("--kills-learner", type=int)
    parser.add_argument("--seed", type=int)
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return known


options = read_options()
main()
