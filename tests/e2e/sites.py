"""A fleet on two sites, far from its learner: what is tested and measured with it.

                         slow cable   +-------+----- a1    site A: a relay, and two hosts behind it
              +---------------------- | relay |
    +---------+                       +-------+----- a2
    | learner |
    +---------+                       +--------+---- b1    site B: a router, and two hosts that dial
              +---------------------- | router |           the learner itself
                         slow cable   +--------+---- b2

All have keys. The relay's key lies with the learner, and the keys of site A with the relay alone.
"""

import os
import re
import shutil
import subprocess

from harness import EndToEnd
from hosts import CABLES, Hosts
from plog import Log

DELAY_MS = 20  # each way
PORT = 5555
LEARNER, RELAY, ROUTER = "learner", "relay", "router"
BEHIND_RELAY = {"a1": 11, "a2": 12}  # and the numbers of their networks
DIRECT = {"b1": 21, "b2": 22}
SITE_A, SITE_B = 1, 2  # the networks of the slow cables
CONNECT = "import socket, time; t = time.monotonic(); " \
          "socket.create_connection(('{}', {})); print(time.monotonic() - t)"


class Sites(EndToEnd):
    """Keys, hosts and cables; then a learner, a relay and actors as a test wants them."""

    delay_ms = DELAY_MS
    relayed = True  # else a router stands in the relay's place, and all dial the learner

    def setUp(self):
        super().setUp()
        self.hosts = Hosts(self, LEARNER, RELAY, ROUTER, CABLES, *BEHIND_RELAY, *DIRECT)
        self.lay_cables()
        self.make_keys()
        self.endpoint = f"tcp://127.0.0.1:{PORT}"
        self.inside = {"polyak": self.hosts.inside(LEARNER),
                       "polyak-learner": self.hosts.inside(LEARNER),
                       "polyak-relay": self.hosts.inside(RELAY)}
        self.asking = ["--key=ann.key", "--learner-key=learner.pub"]
        self.actors = {}  # by host
        self.relays = []

    def lay_cables(self):
        for net, site, names in ((SITE_A, RELAY, BEHIND_RELAY), (SITE_B, ROUTER, DIRECT)):
            way = self.hosts.link(LEARNER, site, net, self.delay_ms)
            for name, its_net in names.items():
                self.hosts.link(site, name, its_net)
                self.hosts.route(name, "default", f"10.77.{its_net}.1")
                self.hosts.route(LEARNER, f"10.77.{its_net}.0/24", way)
            self.hosts.forward(site, site == ROUTER or not self.relayed)

    def make_keys(self):
        for name, roles, directory in (("learner", "", ""), ("ann", "observer,operator", "allowed"),
                                       ("relay", "relay,actor" if self.relayed else "actor", "allowed"),
                                       ("site-a", "actor", "allowed-a"),
                                       ("site-b", "actor", "allowed")):
            made = self.finish("polyak", "keygen", name, *([f"--roles={roles}"] if roles else []))
            self.assertEqual(made.end(), 0)
            if directory:
                os.makedirs(self.path(directory), exist_ok=True)
                shutil.copy(self.path(f"{name}.pub"), self.path(directory))
        if not self.relayed:
            shutil.copy(self.path("site-a.pub"), self.path("allowed"))

    # --- Programs

    def start_learner(self, *args, run="run"):
        self.far_learner = self.start("polyak-learner", f"--bind=tcp://0.0.0.0:{PORT}",
                                      f"--run-dir={run}", "--key=learner.key",
                                      "--allowed-keys=allowed", *args)
        self.far_learner.says("listening on")

    def start_relay(self):
        relay = self.start("polyak-relay", f"--bind=tcp://0.0.0.0:{PORT}",
                           f"--connect=tcp://10.77.{SITE_A}.1:{PORT}", "--name=site-a",
                           "--key=relay.key", "--allowed-keys=allowed-a",
                           "--learner-key=learner.pub")
        self.relays.append(relay)

    def start_actors(self, *args):
        for host, net in {**BEHIND_RELAY, **DIRECT}.items():
            behind = self.relayed and host in BEHIND_RELAY
            way = net if behind else SITE_A if host in BEHIND_RELAY else SITE_B
            self.inside["polyak-actor"] = self.hosts.inside(host)
            self.actors[host] = self.start(
                "polyak-actor", f"--connect=tcp://10.77.{way}.1:{PORT}", f"--name={host}",
                f"--key=site-{host[0]}.key",
                f"--learner-key={'relay' if behind else 'learner'}.pub", *args)

    def start_fleet(self, learner_args, actor_args, run="run"):
        self.start_learner(*learner_args, run=run)
        if self.relayed:
            self.start_relay()
        self.start_actors(*actor_args)

    def ends_in_order(self):
        """All end by themselves, as the run is done."""
        codes = {"learner": self.far_learner.end()}
        codes.update((host, actor.end()) for host, actor in self.actors.items())
        if self.relayed:
            codes["relay"] = self.relays[-1].end()
        self.assertEqual(codes, dict.fromkeys(codes, 0))

    # --- What must hold

    def round_trip_ms(self, host):
        """How long it takes to be connected to the learner's port."""
        said = subprocess.run(
            [*self.hosts.inside(host), "python3", "-c", CONNECT.format(f"10.77.{SITE_B}.1", PORT)],
            capture_output=True, text=True, check=True)
        return 1000 * float(said.stdout)

    def assert_nothing_is_lost(self, env_steps, run="run"):
        """The log has every segment that any actor was told is acknowledged, in order, once."""
        log = Log(self.path(run, "replay"))
        self.assertEqual((log.check(), log.gaps, log.env_steps), ([], [], env_steps))
        self.assertEqual(len(log.watermarks()), len(self.actors))
        for host, actor in self.actors.items():
            self.assertNotIn("did not acknowledge", actor.log, host)
            self.assertNotIn("no longer knows this session", actor.log, host)
            session, last = re.search(r"session ([0-9a-f]+) ends with (\d+) segments",
                                      actor.log).groups()
            self.assertEqual(log.watermark(session), int(last), host)
        self.assertNotIn("are lost", self.far_learner.log)
