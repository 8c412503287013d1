"""A network that swallows packets without a word, for a while: both sides notice, and go on.

Three network namespaces are three hosts: learner, router, actor. A partition is a router that stops
forwarding: nobody is told, and no cable is seen to be unplugged. Needs root.

    partition_test.py                       short, as in CI: no limit on times
    partition_test.py --seconds 1,30        the given partitions; prints all times, holds the limits
"""

import argparse
import re
import signal
import sys
import time

from harness import SLOW, SMALL, EndToEnd, knows, main, wait_until
from hosts import Hosts
from plog import Log

HEARTBEAT_S = 1.0
LOST_AFTER_S = 3 * HEARTBEAT_S
SLACK_S = 0.3  # to see it: a look at the clock every 100 ms, and the way to the log
RECOVERY_S = 5.0
LEARNER, ROUTER, ACTOR = "learner", "router", "actor"
RUN = [*SLOW, *SMALL, "--total-env-steps=100000000",
       f"--heartbeat-interval-ms={HEARTBEAT_S * 1000:.0f}"]

options = argparse.Namespace(seconds=None)


class Partition(EndToEnd):
    def setUp(self):
        super().setUp()
        self.hosts = Hosts(self, LEARNER, ROUTER, ACTOR)
        for net, host in ((1, LEARNER), (2, ACTOR)):
            self.hosts.route(host, "default", self.hosts.link(host, ROUTER, net))
        self.hosts.forward(ROUTER, True)
        self.inside = {"polyak-learner": self.hosts.inside(LEARNER),
                       "polyak-actor": self.hosts.inside(ACTOR),
                       "polyak": self.hosts.inside(LEARNER)}
        self.endpoint = "tcp://10.77.1.1:5555"

    def begin(self):
        trust = ["--insecure"] if knows("polyak-learner", "--insecure") else []
        self.run_learner = self.learner(*RUN, *trust)
        self.run_actor = self.actor("far", *SLOW)
        self.reaches(1000)

    def newest(self, column):
        rows = self.metrics()
        return int(rows[-1][column])

    def says_since(self, program, text, length):
        return text in program.log[length:]

    def times(self, seconds):
        """One partition: when who noticed, and how long after its end steps and weights came."""
        lengths = {program: len(program.log) for program in (self.run_learner, self.run_actor)}
        words = {"learner": (self.run_learner, "actor far is lost"),
                 "actor": (self.run_actor, "the learner is lost")}
        noticed = {}

        def look(began):
            for side, (program, text) in words.items():
                if side not in noticed and self.says_since(program, text, lengths[program]):
                    noticed[side] = time.monotonic() - began

        self.hosts.forward(ROUTER, False)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            look(began)
            time.sleep(0.01)
        steps = self.newest("env_steps")
        self.hosts.forward(ROUTER, True)
        healed = time.monotonic()
        wait_until(lambda: look(began) or self.newest("env_steps") > steps, "steps after healing")
        back = time.monotonic() - healed
        wait_until(lambda: self.is_fresh(steps), "new weights after healing")
        fresh = time.monotonic() - healed
        return noticed, back, fresh

    def is_fresh(self, steps):
        """Whether the steps that come in were acted with weights of after the partition."""
        rows = [row for row in self.metrics() if int(row["env_steps"]) > steps]
        lags = [row for row in rows if row["policy_lag_updates"]]
        return any(float(row["policy_lag_updates"]) < int(row["updates"]) - int(rows[0]["updates"])
                   for row in lags[1:])

    def assert_nothing_is_lost(self):
        """The actor leaves in order: all that it took is acknowledged, and none of it is missing."""
        self.run_actor.kill(signal.SIGTERM)
        self.assertEqual(self.run_actor.end(), -signal.SIGTERM)
        self.assertNotIn("that the learner did not acknowledge", self.run_actor.log)
        self.assertNotIn("no longer knows this session", self.run_actor.log)
        self.assertNotIn("acknowledged segments are lost", self.run_learner.log)
        self.assertNotIn("has to say Hello again", self.run_learner.log)
        self.run_learner.kill(signal.SIGTERM)
        self.assertEqual(self.run_learner.end(), -signal.SIGTERM)
        log = Log(self.path("run", "replay"))
        self.assertEqual((log.check(), log.gaps, len(log.watermarks())), ([], [], 1))
        session, acknowledged = re.search(r"session ([0-9a-f]+) ends with (\d+) segments",
                                          self.run_actor.log).groups()
        self.assertEqual(log.watermark(session), int(acknowledged))

    def hold(self, partitions, limits):
        self.begin()
        for seconds in partitions:
            noticed, back, fresh = self.times(seconds)
            seen = ", ".join(f"{side} after {when:.2f} s" for side, when in noticed.items())
            print(f"partition of {seconds:g} s: noticed by {seen or 'nobody'}; steps again "
                  f"{back:.2f} s after its end, new weights {fresh:.2f} s")
            if seconds > LOST_AFTER_S + 2 * SLACK_S:
                self.assertEqual(set(noticed), {"learner", "actor"})
            if limits:
                for side, when in noticed.items():
                    self.assertLess(when, LOST_AFTER_S + SLACK_S, side)
                self.assertLess(back, RECOVERY_S)
                self.assertLess(fresh, RECOVERY_S)
            time.sleep(2)
        self.assert_nothing_is_lost()

    def test_a_partition_is_noticed_on_both_sides_and_nothing_is_lost(self):
        self.hold(options.seconds or [1, 8], limits=bool(options.seconds))


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=lambda text: [float(word) for word in text.split(",")])
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return known


options = read_options()
main()
