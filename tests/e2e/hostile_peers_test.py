"""Peers that mean no good, and a learner without keys: they cost little.

    hostile_peers_test.py             short, as in CI: the good actors go on
    hostile_peers_test.py --limits    longer: they keep 90 % of their rate, at half the maximum load
"""

from harness import SANITIZED, main, wait_until
from hostile import Hostile
from raw_peers import Flood, RawPeer, frame, room_for_sockets

HALF_OPEN = 500 if SANITIZED else 2000


class Open(Hostile):
    """A learner without keys."""

    def flood(self, port):
        count = room_for_sockets(HALF_OPEN)

        def end(flood):
            flood.end()
            return (f"{flood.most} half-open at once, {flood.dialled} dialled, {flood.closed} closed "
                    f"by the learner, {flood.refused} refused")

        def begin():
            flood = Flood("127.0.0.1", port, count)
            wait_until(lambda: flood.most == count, f"{count} connections")
            return flood

        return begin, end

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

    def nonsense(self):
        """Sound ZMTP, and nonsense in it: the learner decodes it, and says what it wants."""
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

        return begin, end

    def test_they_cost_little(self):
        self.begin_at_half_load()
        for what, port in (("uplink", self.port), ("weights", self.port + 1)):
            self.hold(f"half-open, {what}", *self.flood(port))
            self.hold(f"garbage, {what}", lambda port=port: self.garbage_begins(port, 100),
                      self.garbage_ends)
        self.hold("nonsense in sound frames", *self.nonsense())


main()
