"""Relays: actors dial one as they would dial a learner, relays stand behind relays, and nothing is
lost when one dies."""

import json
import os
import shutil
import time

from harness import SLOW, SMALL, EndToEnd, free_port, main

TOTAL = 2500


class Relay(EndToEnd):
    def relay(self, name, port, parent, *args):
        """Starts one and waits until it listens. Its actors dial `port`."""
        relay = self.start("polyak-relay", f"--bind=tcp://127.0.0.1:{port}", f"--connect={parent}",
                           f"--name={name}", *args)
        relay.says("listening on")
        return relay

    def behind(self, port, name, *args):
        """An actor that dials this port."""
        return self.start("polyak-actor", f"--connect=tcp://127.0.0.1:{port}", f"--name={name}",
                          *SLOW, *args)

    def assert_nothing_lost(self):
        asked = self.finish("polyak", "inspect", "--run-dir=run", "--json")
        self.assertEqual(asked.end(), 0)
        found = json.loads(asked.out)
        self.assertEqual(found["env_steps"], TOTAL, found)
        self.assertEqual(found["missing_segments"], 0, found)

    # --- Keys

    def keygen(self, name, *roles):
        flags = [f"--roles={','.join(roles)}"] if roles else []
        self.assertEqual(self.finish("polyak", "keygen", name, *flags).end(), 0)

    def allow(self, where, *names):
        os.makedirs(self.path(where), exist_ok=True)
        for name in names:
            shutil.copy(self.path(f"{name}.pub"), self.path(where, f"{name}.pub"))

    def listens(self, name, allowed):
        return [f"--key={name}.key", f"--allowed-keys={allowed}"]

    def dials(self, name, parent):
        return [f"--key={name}.key", f"--learner-key={parent}.pub"]

    # --- Tests

    def test_a_fleet_behind_relays_trains_to_its_end_though_one_is_killed(self):
        self.keygen("learner")
        self.keygen("rack1", "relay", "actor", "observer")
        self.keygen("rack2", "relay", "actor")
        for name in ("near", "far", "direct"):
            self.keygen(name, "actor")
        self.keygen("watch", "observer")
        self.allow("allowed", "rack1", "direct", "watch")
        self.allow("allowed1", "rack2", "near")
        self.allow("allowed2", "far")
        port1, port2 = free_port(), free_port()
        self.asking = self.dials("watch", "learner")

        learner = self.learner(*SLOW, *SMALL, f"--total-env-steps={TOTAL}",
                               *self.listens("learner", "allowed"))
        flags1 = (*self.listens("rack1", "allowed1"), "--learner-key=learner.pub")
        rack1 = self.relay("rack1", port1, self.endpoint, *flags1)
        rack2 = self.relay("rack2", port2, f"tcp://127.0.0.1:{port1}",
                           *self.listens("rack2", "allowed2"), "--learner-key=rack1.pub")
        actors = [self.behind(port1, "a", *self.dials("near", "rack1")),
                  self.behind(port1, "b", *self.dials("near", "rack1")),
                  self.behind(port2, "c", *self.dials("far", "rack2")),
                  self.behind(self.port, "d", *self.dials("direct", "learner"))]
        there = {"a": "rack1", "b": "rack1", "c": "rack2", "d": ""}
        status = self.status_shows("all four", lambda status: len(status["actors"]) == 4)
        self.assertEqual({actor["name"]: actor["via"] for actor in status["actors"]}, there)
        self.assertEqual({actor["name"]: actor["key"] for actor in status["actors"]},
                         {"a": "near", "b": "near", "c": "far", "d": "direct"})
        self.assertEqual(status["relays"], 1)
        self.reaches(900)
        rack1.kill()
        rack1.end()
        learner.says("and with it 3 peers")
        rack1 = self.relay("rack1", port1, self.endpoint, *flags1)
        self.status_shows("all four again", lambda status: len(status["actors"]) == 4)
        # To the end, and everybody ends with the run.
        self.assertEqual([program.end() for program in (learner, *actors, rack1, rack2)], [0] * 7)
        self.assertIn("the run is finished", rack2.log)
        self.assert_done(TOTAL, updates=TOTAL - 500)
        self.assert_nothing_lost()

    def test_actors_are_told_why_they_wait(self):
        port = free_port()
        relay = self.relay("rack1", port, self.endpoint)
        actor = self.behind(port, "a")
        actor.says(f"relay rack1 has no connection to {self.endpoint}")
        relay.says(f"waiting for {self.endpoint}")
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=1000")
        self.assertEqual([learner.end(), actor.end(), relay.end()], [0, 0, 0])
        self.assert_done(1000, updates=500)

    def test_a_relay_that_is_stopped_says_so_and_actors_come_again(self):
        port = free_port()
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=1200")
        relay = self.relay("rack1", port, self.endpoint)
        actor = self.behind(port, "a")
        self.reaches(300)
        relay.kill(15)
        self.assertEqual(relay.end(), -15)
        learner.says("rack1")
        relay = self.relay("rack1", port, self.endpoint)
        self.assertEqual([learner.end(), actor.end(), relay.end()], [0, 0, 0])
        self.assert_done(1200, updates=700)

    def test_a_goodbye_of_many_at_once_arrives_as_one(self):
        port = free_port()
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=100000")
        self.relay("rack1", port, self.endpoint)
        actors = [self.behind(port, f"a{i}") for i in range(8)]
        self.status_shows("all of them", lambda status: len(status["actors"]) == len(actors))
        self.reaches(300)
        for actor in actors:
            actor.kill(2)
        self.assertEqual([actor.end() for actor in actors], [-2] * len(actors))
        for i in range(len(actors)):
            learner.says(f"a{i} says goodbye")
        self.assertNotIn("is gone", learner.log)

    def test_a_learner_that_is_killed_is_found_again_through_the_relay(self):
        port = free_port()
        learner = self.learner(*SLOW, *SMALL, "--total-env-steps=1500")
        relay = self.relay("rack1", port, self.endpoint)
        actor = self.behind(port, "a")
        self.reaches(700)
        learner.kill()
        learner.end()
        relay.says(f"{self.endpoint} is lost")
        learner = self.learner("--resume")
        self.assertEqual([learner.end(), actor.end(), relay.end()], [0, 0, 0])
        self.assert_done(1500, killed=True)

    def test_a_key_that_is_taken_away_from_a_relay_is_out(self):
        self.keygen("learner")
        self.keygen("rack1", "relay", "actor")
        self.keygen("good", "actor")
        self.keygen("bad", "actor")
        self.allow("allowed", "rack1")
        self.allow("allowed1", "good", "bad")
        port = free_port()
        self.learner(*SLOW, *SMALL, "--total-env-steps=100000", *self.listens("learner", "allowed"))
        relay = self.relay("rack1", port, self.endpoint, *self.listens("rack1", "allowed1"),
                           "--learner-key=learner.pub")
        good = self.behind(port, "good", *self.dials("good", "rack1"))
        bad = self.behind(port, "bad", *self.dials("bad", "rack1"))
        for actor in (good, bad):
            actor.says("connected to")
        began = time.monotonic()
        os.remove(self.path("allowed1", "bad.pub"))
        relay.says("key bad is no longer allowed")
        self.assertEqual(bad.end(), 1)
        self.assertIn("not allowed any more", bad.log)
        self.assertLess(time.monotonic() - began, 10)
        before = int(self.metrics()[-1]["env_steps"]) if self.metrics() else 0
        self.reaches(before + 300)
        self.assertIsNone(good.popen.poll())

    def test_a_relay_without_the_role_is_refused_and_says_so(self):
        self.keygen("learner")
        self.keygen("rack1", "actor")
        self.allow("allowed", "rack1")
        self.learner(*SLOW, *SMALL, *self.listens("learner", "allowed"))
        relay = self.relay("rack1", free_port(), self.endpoint, *self.listens("rack1", "allowed"),
                           "--learner-key=learner.pub")
        self.assert_fails(relay, 1, "has not the role relay")

    def test_what_is_wrong_is_said_in_one_line(self):
        self.assert_refused(2, "--connect is missing", "polyak-relay")
        self.assert_refused(2, "--insecure", "polyak-relay", "--bind=tcp://0.0.0.0:5555",
                            "--connect=tcp://127.0.0.1:5557")
        self.assert_refused(2, "--connect", "polyak-relay", f"--bind={self.endpoint}",
                            "--connect=nowhere")
        self.assert_refused(2, "--learner-key", "polyak-relay", f"--bind={self.endpoint}",
                            "--connect=tcp://learner:5555", "--learner-key=x.pub")
        for bind, connect in ((self.endpoint, self.endpoint),
                              ("tcp://0.0.0.0:5555", "tcp://localhost:5555"),
                              ("tcp://*:5555", "tcp://127.0.0.1:5555")):
            self.assert_refused(2, "is this relay's own --bind", "polyak-relay", f"--bind={bind}",
                                f"--connect={connect}", "--insecure")

    def test_relays_in_a_circle_say_so(self):
        ports = free_port(), free_port()
        one = self.relay("one", ports[0], f"tcp://127.0.0.1:{ports[1]}")
        two = self.relay("two", ports[1], f"tcp://127.0.0.1:{ports[0]}")
        actor = self.behind(ports[0], "a")
        actor.says(" has no connection to ")
        for program in (one, two, actor):
            program.says("so far: ")
            for line in program.log.splitlines():
                self.assertLess(line.count("has no connection to"), 2, line)


main()
