"""The units of deploy/systemd: systemd finds them sound and well closed; and the programs, started by
the units' own lines, tell a service manager what it waits for. That manager is a socket of this test.
"""

import glob
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

import harness

UNITS = os.path.join(os.environ["POLYAK_SOURCE_DIR"], "deploy", "systemd")
EXPOSURE_MAX = 15  # tenths: of 100, and 96 for a unit that closes nothing
WATCHDOG_S = 0.9  # signs of life come every third of it


def analyze(*args):
    """What systemd-analyze says, and its exit code."""
    done = subprocess.run(["systemd-analyze", "--no-pager", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def unit_text(unit):
    with open(os.path.join(UNITS, unit), encoding="utf-8") as file:
        return file.read()


def unit_value(unit, key):
    """The last value of a key in a unit."""
    return re.findall(rf"^{key}=(.*)$", unit_text(unit), re.MULTILINE)[-1]


def seconds(text):
    """A time span of the units: 30, 5min."""
    number, unit = re.fullmatch(r"(\d+)(s|min|)", text).groups()
    return int(number) * (60 if unit == "min" else 1)


def complaints(text):
    """What a unit lacks of what the README promises."""
    values = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE):
        values.setdefault(key, []).append(value)

    def last(key):
        return values.get(key, [""])[-1]
    line = last("ExecStart")
    learner = "polyak-learner " in line
    loaded = {value.partition(":")[0] for value in values.get("LoadCredential", [])}
    for name in re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", line):
        if name not in loaded:
            yield f"{name} is no credential"
    if "--key " not in line or "/etc/polyak/node.key" in line:
        yield "its secret key is not a credential"
    if ("${STATE_DIRECTORY}" in line) != ("StateDirectory" in values):
        yield "the run directory is not its state"
    # What is run for good ends only with the run: the learner's 0, and the 0 of those that come back.
    wanted = {"Type": "notify", "DynamicUser": "yes", "KillMode": "mixed", "RestartSec": "5",
              "Restart": "on-failure" if learner else "always",
              "RestartPreventExitStatus": "2" if learner else "0 2",
              "SuccessExitStatus": "3" if "polyak-actor " in line else "",
              "StartLimitIntervalSec": "600" if learner else "0",
              "StartLimitBurst": "10" if learner else ""}
    for key, value in wanted.items():
        if last(key) != value:
            yield f"{key} is not {value or 'left out'}"
    for key, least in (("WatchdogSec", 60), ("TimeoutStopSec", 120 if learner else 30)):
        if key not in values or seconds(last(key)) < least:
            yield f"{key} is less than {least} s"
    if last("ConditionPathExists") not in line.split():
        yield "ConditionPathExists is not its configuration"


# What is taken out of a unit or written otherwise, and what is said of it.
MISTAKES = [
    ("polyak-learner", "LoadCredential=learner.key:/etc/polyak/learner.key\n", "", "learner.key is no"),
    ("polyak-actor@", "node.key:/", "nodes.key:/", "node.key is no credential"),
    ("polyak-actor@", "${CREDENTIALS_DIRECTORY}/node.key", "/etc/polyak/node.key", "secret key"),
    ("polyak-learner", "Type=notify", "Type=exec", "Type"),
    ("polyak-relay", "WatchdogSec=60\n", "", "WatchdogSec"),
    ("polyak-learner", "Restart=on-failure", "Restart=no", "Restart is not"),
    ("polyak-relay", "Restart=always", "Restart=on-failure", "Restart is not"),
    ("polyak-actor@", "RestartSec=5", "RestartSec=500", "RestartSec"),
    ("polyak-actor@", "ExitStatus=0 2", "ExitStatus=0 2 3", "RestartPreventExitStatus"),
    ("polyak-relay", "RestartPreventExitStatus=0 2\n", "", "RestartPreventExitStatus"),
    ("polyak-evaluator", "SuccessExitStatus=3\n", "", "SuccessExitStatus"),
    ("polyak-learner", "StateDirectory=polyak\n", "", "run directory"),
    ("polyak-learner", "KillMode=mixed\n", "", "KillMode"),
    ("polyak-learner", "TimeoutStopSec=3min", "TimeoutStopSec=30", "TimeoutStopSec"),
    ("polyak-actor@", "StartLimitIntervalSec=0\n", "", "StartLimitIntervalSec"),
    ("polyak-learner", "DynamicUser=yes\n", "", "DynamicUser"),
    ("polyak-evaluator", "ConditionPathExists=/etc/polyak/actor.yaml", "", "ConditionPathExists"),
]


def services():
    found = sorted(map(os.path.basename, glob.glob(os.path.join(UNITS, "*.service"))))
    assert found, "there are no units"
    return found


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
class Units(harness.EndToEnd):
    def copy(self):
        """The units, with the programs of this build."""
        for path in glob.glob(os.path.join(UNITS, "*.*")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            self.write(os.path.basename(path), text.replace("/usr/bin/", harness.BIN + "/"))

    def test_systemd_finds_nothing_wrong(self):
        self.copy()
        units = [*services(), "polyak-actors.target"]
        code, said = analyze("verify", "--man=no", *map(self.path, units))
        self.assertEqual((code, said), (0, ""))

    def test_verify_does_see_what_is_wrong(self):
        self.copy()
        with open(self.path("polyak-learner.service"), encoding="utf-8") as file:
            text = file.read()
        self.write("polyak-learner.service", text.replace("WatchdogSec=", "WatchDogs="))
        _, said = analyze("verify", "--man=no", self.path("polyak-learner.service"))
        self.assertIn("WatchDogs", said)

    def test_little_is_open(self):
        self.copy()
        for unit in services():
            code, said = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}",
                                 self.path(unit))
            self.assertEqual(code, 0, said)
            print(said.splitlines()[-1])

    def test_each_has_what_the_page_promises(self):
        for unit in services():
            self.assertEqual(list(complaints(unit_text(unit))), [], unit)

    def test_what_is_missing_is_seen(self):
        for unit, old, new, said in MISTAKES:
            with self.subTest(unit=unit, old=old):
                text = unit_text(f"{unit}.service")
                self.assertIn(old, text)
                self.assertIn(said, "\n".join(complaints(text.replace(old, new))))

    def test_all_flags_are_known(self):
        for unit in services():
            words = shlex.split(unit_value(unit, "ExecStart"))
            done = self.finish(os.path.basename(words[0]), *words[1:], "--help")
            self.assertEqual((done.end(), done.log), (0, ""), unit)


class Manager:
    """A service manager's socket, and what one program says to it. A thread reads it, as the socket
    has room for a few words only."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.words = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        while word := self.socket.recv(4096).decode():
            self.words.append(word)

    def listen(self, seconds):
        """What comes within this time."""
        before = len(self.words)
        time.sleep(seconds)
        return self.words[before:]

    def hears(self, word):
        """Waits for a word that begins so."""
        harness.wait_until(lambda: any(said.startswith(word) for said in self.words),
                           f"the manager hears {word}")

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()
        os.unlink(self.path)


class Service(harness.EndToEnd):
    """Each program as its unit starts it, but for its directories and its port."""

    def setUp(self):
        super().setUp()
        for directory in ("etc", "etc/allowed", "state", "credentials"):
            os.mkdir(self.path(directory))
        for name, roles in (("learner", ""), ("node", "--roles=actor,evaluator"),
                            ("relay", "--roles=relay,actor,evaluator")):
            flags = [name, f"--output={self.path('etc')}", *filter(None, [roles])]
            self.assertEqual(self.finish("polyak", "keygen", *flags).end(), 0)
        for name in ("node", "relay"):
            shutil.copy(self.path("etc", f"{name}.pub"), self.path("etc", "allowed"))
        for name in ("learner", "node", "relay"):
            secret = self.path("credentials", f"{name}.key")
            shutil.copy(self.path("etc", f"{name}.key"), secret)
            # As systemd does: root's, and the access list shows as the group's right.
            os.chmod(secret, stat.S_IRUSR | (stat.S_IRGRP if os.geteuid() == 0 else 0))
        for name in ("learner", "actor", "relay"):
            shutil.copy(os.path.join(UNITS, f"{name}.yaml"), self.path("etc"))
        self.managers = 0

    def serve(self, unit, *args):
        """Starts a unit's program; the program, and its manager."""
        self.managers += 1
        manager = Manager(self.path(f"notify{self.managers}"))
        self.addCleanup(manager.close)
        line = unit_value(unit, "ExecStart")
        for name, value in (("/etc/polyak", self.path("etc")), ("${RUN}", "run"), ("%i", "1"),
                            ("%l", "host"), ("${STATE_DIRECTORY}", self.path("state")),
                            ("${CREDENTIALS_DIRECTORY}", self.path("credentials"))):
            line = line.replace(name, value)
        before = self.environment
        self.environment = dict(before, NOTIFY_SOCKET=manager.path,
                                WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
        words = shlex.split(line)
        program = self.start(os.path.basename(words[0]), *words[1:], *args)
        self.environment = before
        return program, manager

    def learner_service(self, *args):
        return self.serve("polyak-learner.service", f"--bind={self.endpoint}", *harness.SLOW,
                          *harness.SMALL, "--progress=off", *args)

    def actor_service(self, unit="polyak-actor@.service", endpoint=None, dials="learner", more=()):
        return self.serve(unit, f"--connect={endpoint or self.endpoint}", *harness.SLOW, *more,
                          f"--learner-key={self.path('etc', f'{dials}.pub')}")

    def test_a_fleet_says_how_it_does(self):
        actor, of_actor = self.actor_service()
        of_actor.hears("READY=1")
        of_actor.hears("STATUS=0 env steps; waiting for the learner")
        learner, of_learner = self.learner_service("--total-env-steps=1000000")
        of_learner.hears("READY=1")
        self.assertLess(of_learner.words.index("READY=1"), 2, of_learner.words)
        of_learner.hears("STATUS=waiting for actors")
        _, of_evaluator = self.actor_service("polyak-evaluator.service")
        of_evaluator.hears("READY=1")
        of_evaluator.hears("STATUS=waiting for the next evaluation")
        of_learner.hears("STATUS=training: ")
        managers = (of_actor, of_learner, of_evaluator)
        before = [len(manager.words) for manager in managers]
        time.sleep(3 * WATCHDOG_S)
        for manager, count in zip(managers, before):
            signs = manager.words[count:].count("WATCHDOG=1")
            self.assertGreaterEqual(signs, 3, manager.words)
            self.assertLessEqual(signs, 10, manager.words)

        # One that stands still is silent: systemd ends it then.
        learner.kill(signal.SIGSTOP)
        of_learner.listen(0.5)
        self.assertEqual(of_learner.listen(2 * WATCHDOG_S), [])
        learner.kill(signal.SIGCONT)
        self.assertIn("WATCHDOG=1", of_learner.listen(3 * WATCHDOG_S))

        for program, manager in ((learner, of_learner), (actor, of_actor)):
            program.kill(signal.SIGTERM)
            manager.hears("STOPPING=1")
            self.assertEqual(program.end(), -signal.SIGTERM)
            self.assertEqual(manager.words.count("READY=1"), 1)

    def test_a_relay_says_how_it_does(self):
        endpoint = f"tcp://127.0.0.1:{harness.free_port()}"
        relay, of_relay = self.serve("polyak-relay.service", f"--bind={endpoint}",
                                     f"--connect={self.endpoint}",
                                     f"--learner-key={self.path('etc', 'learner.pub')}")
        of_relay.hears("READY=1")
        learner, _ = self.learner_service("--total-env-steps=1000000")
        actor, of_actor = self.actor_service(endpoint=endpoint, dials="relay")
        self.reaches(300, run="state/run")
        signs = of_relay.listen(3 * WATCHDOG_S).count("WATCHDOG=1")
        self.assertGreaterEqual(signs, 3, of_relay.words)
        for program, manager in ((actor, of_actor), (relay, of_relay)):
            program.kill(signal.SIGTERM)
            manager.hears("STOPPING=1")
            self.assertEqual(program.end(), -signal.SIGTERM)
            self.assertEqual(manager.words.count("READY=1"), 1)
        learner.kill(signal.SIGTERM)
        learner.end()

    def test_an_actor_that_ends_by_itself_is_a_success(self):
        learner, _ = self.learner_service("--total-env-steps=1000000")
        unit = "polyak-actor@.service"
        actor, _ = self.actor_service(unit, more=["--exit-after-steps=100"])
        self.assertEqual(str(actor.end()), unit_value(unit, "SuccessExitStatus"))
        learner.kill(signal.SIGTERM)
        learner.end()

    def test_a_restart_goes_on_and_its_end_is_the_fleets(self):
        learner, of_learner = self.learner_service("--total-env-steps=1500")
        actor, of_actor = self.actor_service()
        self.reaches(600, run="state/run")
        learner.kill(signal.SIGKILL)
        learner.end()
        learner, of_learner = self.learner_service("--total-env-steps=1500")
        of_learner.hears("READY=1")
        self.assertEqual((actor.end(), learner.end()), (0, 0))
        of_learner.hears("STOPPING=1")
        of_actor.hears("STOPPING=1")
        self.assert_done(1500, run="state/run", killed=True)


if __name__ == "__main__":
    harness.main()
