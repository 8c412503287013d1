"""Peers that mean no good, and a learner with keys: nothing of theirs reaches it, and they cost little.

    hostile_keys_test.py             short, as in CI: the good actors go on
    hostile_keys_test.py --limits    longer: they keep 90 % of their rate, at half the maximum load
"""

import os
import shutil
import time

from harness import DEADLINE_S, SANITIZED, main, wait_until
from hostile import Hostile, env
from plog import Log
from raw_peers import Flood, RawPeer, frame, greeting, ready, room_for_sockets
from zmq_peers import DEALER, KIND_REJECT, SUB, Peer, hello, segment, text_of

HALF_OPEN = 500 if SANITIZED else 2000
PEERS = 4
KEYS = {"learner": None, "other": None, "good": "actor,evaluator", "second": "actor",
        "leaver": "actor", "watcher": "observer", "stranger": "actor"}
ALLOWED = ("good", "second", "leaver", "watcher")


class Keyed(Hostile):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("allowed"))
        for name, roles in KEYS.items():
            args = [f"--roles={roles}"] if roles else []
            self.assertEqual(self.finish("polyak", "keygen", name, "--output=keys", *args).end(), 0)
        for name in ALLOWED:
            shutil.copy(self.path("keys", f"{name}.pub"), self.path("allowed"))
        self.keys = ["--key=keys/learner.key", "--allowed-keys=allowed"]
        self.actor_keys = self.keys_of("good")
        self.asking = self.keys_of("watcher")

    def keys_of(self, name, learner="learner"):
        return [f"--key=keys/{name}.key", f"--learner-key=keys/{learner}.pub"]

    def dealer(self, name):
        return Peer(DEALER, self.endpoint, self.path("keys", f"{name}.key"),
                    self.path("keys", "learner.pub"))

    # --- Kinds of peers: each begins, and ends with a word about itself

    def actors_with(self, *flags):
        def begin():
            return [self.actor(f"bad-{i}", *env(2000), *flags) for i in range(PEERS)]

        def end(actors):
            for actor in actors:
                self.assertNotIn("connected to", actor.log)
                actor.kill()
                actor.end()
            return f"{len(actors)} actors"
        return begin, end

    def plain_text(self):
        def begin():
            peers = [RawPeer("127.0.0.1", port) for port in (self.port, self.port + 1)
                     for _ in range(PEERS)]
            for i, peer in enumerate(peers):
                peer.say(greeting(b"CURVE" if i % 2 else b"NULL"), ready(),
                         frame(self.random.randbytes(1000)))
            return peers

        def end(peers):
            gone = sum(not peer.hear(3) for peer in peers)
            self.assertEqual(gone, len(peers))
            self.assertEqual([peer.messages() for peer in peers], [[]] * len(peers))
            for peer in peers:
                peer.close()
            return f"{len(peers)} peers, {gone} thrown out"
        return begin, end

    def half_open(self):
        count = room_for_sockets(HALF_OPEN)

        def begin():
            flood = Flood("127.0.0.1", self.port, count)
            wait_until(lambda: flood.most == count, f"{count} connections")
            return flood

        def end(flood):
            seen = self.status_shows("half-open connections", lambda status: status["half_open"] > 0)
            flood.end()
            print(f"  status: {seen['half_open']} half-open; alarms: {seen['alarms']}")
            return (f"{flood.most} half-open at once, {flood.dialled} dialled, {flood.closed} closed "
                    f"by the learner, {flood.refused} refused")
        return begin, end

    def others_session(self):
        """A good key that speaks for a session of another; and one that is no actor's."""
        word = self.good[0].log.split("session ")[1][:8]

        def session():
            found = [session for session in Log(self.path(self.run_name, "replay")).watermarks()
                     if session.hex().startswith(word)]
            return found[0] if found else None

        def begin():
            taken = wait_until(session, "the session is in the log")
            peers = [self.dealer("second"), self.dealer("watcher")]
            peers[0].say(hello(taken, "bad", step_limit=50))
            peers[0].say(segment(1))
            peers[1].say(hello(self.random.randbytes(16), "bad", step_limit=50))
            return peers

        def end(peers):
            for peer, why in zip(peers, ("this session belongs to another key", "has not the role")):
                answers = [wait_until(lambda peer=peer: peer.hear(0), "an answer")]
                while (answer := peer.hear(0.2)) is not None:
                    answers.append(answer)
                self.assertEqual({answer[0] for answer in answers}, {KIND_REJECT})
                self.assertIn(why, " ".join(map(text_of, answers)))
                peer.close()
            return f"{len(peers)} peers, each refused"
        return begin, end

    def revoked(self):
        """A key that was good. Its actor is refused, and its subscriber gets no more weights."""
        def begin():
            shutil.copy(self.path("keys", "leaver.pub"), self.path("allowed"))  # again, if need be
            actor = self.actor("leaver", *env(2000), *self.keys_of("leaver"))
            subscriber = Peer(SUB, f"tcp://127.0.0.1:{self.port + 1}",
                              self.path("keys", "leaver.key"), self.path("keys", "learner.pub"),
                              subscribe=[b"W"])
            self.status_shows("the actor", lambda status: "leaver" in
                              [one["name"] for one in status["actors"]])
            self.assertIsNotNone(wait_until(lambda: subscriber.hear(0), "weights"))
            os.unlink(self.path("allowed", "leaver.pub"))
            began = time.monotonic()
            self.status_shows("no such actor", lambda status: "leaver" not in
                              [one["name"] for one in status["actors"]])
            refused_s = time.monotonic() - began
            last_s = refused_s
            while time.monotonic() - began < last_s + 1.5:
                if subscriber.drain():
                    last_s = time.monotonic() - began
                self.assertLess(last_s, DEADLINE_S, "weights for the one who left")
                time.sleep(0.01)
            print(f"  refused after {refused_s:.2f} s, no weights after {last_s:.2f} s")
            return actor, subscriber

        def end(held):
            actor, subscriber = held
            self.assertIsNone(subscriber.hear(0.5))
            subscriber.close()
            if actor.popen.poll() is None:
                actor.kill()
            actor.end()
            fresh = self.status_shows("new weights of good actors", lambda status: all(
                one["policy_lag_updates"] < 2000 for one in status["actors"]))
            return f"good actors lag {[one['policy_lag_updates'] for one in fresh['actors']]} updates"
        return begin, end

    def test_nothing_of_theirs_comes_in(self):
        self.begin_at_half_load()
        before = self.status()
        self.hold("wrong key of the learner", *self.actors_with(*self.keys_of("good", "other")))
        self.hold("unknown key", *self.actors_with(*self.keys_of("stranger")))
        self.hold("no key", *self.actors_with())
        self.hold("plain text", *self.plain_text())
        self.hold("half-open", *self.half_open())
        after = self.status()
        self.assertEqual(after["garbage_messages"], before["garbage_messages"])
        self.assertEqual(after["sessions"], before["sessions"])
        self.assertGreater(after["refused_peers"], before["refused_peers"])
        print(f"{after['refused_peers'] - before['refused_peers']} were refused")
        self.hold("another's session", *self.others_session())
        self.hold("revoked", *self.revoked())


main()
