"""Peers that mean no good, while good actors are at work: they are kept out, and cost little.

    hostile_peers_test.py             short, as in CI: the good actors go on
    hostile_peers_test.py --limits    longer: they keep 90 % of their rate, at half the maximum load
"""

import argparse
import random
import sys
import time

from harness import SLOW_ENV, EndToEnd, main
from raw_peers import Flood, RawPeer, frame, room_for_sockets

ACTORS = 2
HALF_OPEN = 2000
RUN = ["--hidden=64,64", "--batch=64", "--warmup-env-steps=500", "--replay-capacity=100000",
       "--metrics-interval-ms=100", "--eval-interval-env-steps=0", "--total-env-steps=100000000",
       "--checkpoint-interval-s=3600"]
SEED = random.randrange(1 << 32)
LINES_MAX = 5  # of the learner's log, for all peers of one kind that come within a few seconds

options = argparse.Namespace(limits=False)


def env(step_us):
    return [f"--env={SLOW_ENV}", f"--env-options=us={step_us},limit=50"]


class Hostile(EndToEnd):
    keys = []  # flags of the learner, and of good actors
    actor_keys = []

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)

    def begin(self, step_us=2000):
        self.run_learner = self.learner(*env(step_us), *RUN, *self.keys)
        self.good = [self.actor(f"good-{i}", *env(step_us), *self.actor_keys)
                     for i in range(ACTORS)]
        self.status_shows("all good actors", lambda status: len(status["actors"]) == ACTORS)
        self.reaches(1000)

    def begin_at_half_load(self):
        """With --limits: finds out how fast it can be, and starts again with half of that."""
        if not options.limits:
            self.begin()
            return
        self.begin(0)
        most = self.rate(4)
        for program in [self.run_learner, *self.good]:
            program.kill()
            program.end()
        overhead_us = 100  # of a short sleep, and of the step itself
        step_us = max(1, round(1e6 * ACTORS / (most / 2)) - overhead_us)
        print(f"at most {most:.0f} steps/s; a step takes {step_us} us from now on")
        self.port += 2
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        run_learner = self.learner
        self.learner = lambda *args: run_learner(*args, run="half")
        self.reaches = lambda env_steps: EndToEnd.reaches(self, env_steps, "half")
        self.begin(step_us)

    def rate(self, seconds):
        before, began = self.status()["env_steps"], time.monotonic()
        time.sleep(seconds)
        return (self.status()["env_steps"] - before) / (time.monotonic() - began)

    def lines_since(self, length):
        return [line for line in self.run_learner.log[length:].splitlines() if " steps/s " not in line]

    def assert_only_good_ones(self):
        names = sorted(actor["name"] for actor in self.status()["actors"])
        self.assertEqual(names, [f"good-{i}" for i in range(ACTORS)])
        for program in [self.run_learner, *self.good]:
            self.assertIsNone(program.popen.poll())
        for actor in self.good:
            self.assertNotIn("lost", actor.log)

    def hold(self, what, begin, end):
        """While begin() … end() goes on, the good actors work as before."""
        window = 8 if options.limits else 1
        length = len(self.run_learner.log)
        before = self.rate(window)
        held = begin()
        during = self.rate(window)
        self.assert_only_good_ones()
        said = end(held)
        lines = self.lines_since(length)
        print(f"{what}: {before:.0f} steps/s before, {during:.0f} ({during / before:.0%}) during; "
              f"{said}; {len(lines)} lines in the log")
        self.assertLessEqual(len(lines), LINES_MAX, lines)
        self.assertGreater(during, before * (0.9 if options.limits else 0.1))


class Open(Hostile):
    """A learner without keys."""

    def flood(self, port):
        count = room_for_sockets(HALF_OPEN)

        def end(flood):
            flood.end()
            self.assertGreater(flood.most, count * 0.9)
            return (f"{flood.most} half-open at once, {flood.dialled} dialled, {flood.closed} closed "
                    f"by the learner, {flood.refused} refused")

        def begin():
            flood = Flood("127.0.0.1", port, count)
            deadline = time.monotonic() + 30
            while flood.open < count and time.monotonic() < deadline and flood.refused < count:
                time.sleep(0.01)
            return flood

        return begin, end

    def test_half_open_connections_cost_little(self):
        self.begin_at_half_load()
        self.hold("half-open, uplink", *self.flood(self.port))
        self.hold("half-open, weights", *self.flood(self.port + 1))

    def garbage_begins(self, port, count):
        peers = []
        for _ in range(count):
            peer = RawPeer("127.0.0.1", port)
            peer.say(self.random.randbytes(self.random.randrange(1, 2000)))
            peers.append(peer)
        return peers

    def garbage_ends(self, peers):
        gone = sum(not peer.hear(0.02) for peer in peers)
        for peer in peers:
            peer.close()
        return f"{len(peers)} peers, {gone} thrown out"

    def test_bytes_that_are_no_protocol_are_thrown_out(self):
        self.begin_at_half_load()
        for what, port in (("uplink", self.port), ("weights", self.port + 1)):
            self.hold(f"garbage, {what}", lambda port=port: self.garbage_begins(port, 100),
                      self.garbage_ends)

    def test_messages_that_cannot_be_read_are_answered_and_left_out(self):
        """Sound ZMTP, and nonsense in it: the learner decodes it, and says what it wants."""
        self.begin_at_half_load()

        def begin():
            peers = []
            for _ in range(50):
                peer = RawPeer("127.0.0.1", self.port)
                self.assertTrue(peer.shake_hands())
                for _ in range(20):
                    peer.say(frame(self.random.randbytes(self.random.randrange(1, 2000))))
                peers.append(peer)
            return peers

        def end(peers):
            alive = sum(peer.hear(0.1) for peer in peers)
            answered = sum(any(b"say Hello first" in message for message in peer.messages())
                           for peer in peers)
            for peer in peers:
                peer.close()
            self.assertEqual((answered, alive), (len(peers), len(peers)))
            return f"{len(peers)} peers, {answered} answered, {alive} still there"

        self.hold("nonsense in sound frames", begin, end)


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limits", action="store_true")
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return known


options = read_options()
print(f"seed {SEED}")
main()
