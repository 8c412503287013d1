"""Peers that mean no good, and a learner without keys: they cost little.

    hostile_peers_test.py             short, as in CI: the good actors go on
    hostile_peers_test.py --limits    longer: they keep 90 % of their rate, at half the maximum load
"""

import time

from harness import main
from hostile import Hostile
from raw_peers import Flood, RawPeer, frame, room_for_sockets

HALF_OPEN = 2000


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


main()
