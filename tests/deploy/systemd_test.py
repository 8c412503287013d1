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


def unit_value(unit, key):
    """The last value of a key in a unit."""
    with open(os.path.join(UNITS, unit), encoding="utf-8") as file:
        return re.findall(rf"^{key}=(.*)$", file.read(), re.MULTILINE)[-1]


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
        for name, roles in (("learner", ""), ("node", "--roles=actor,evaluator")):
            flags = [name, f"--output={self.path('etc')}", *filter(None, [roles])]
            self.assertEqual(self.finish("polyak", "keygen", *flags).end(), 0)
        shutil.copy(self.path("etc", "node.pub"), self.path("etc", "allowed"))
        for name in ("learner", "node"):
            secret = self.path("credentials", f"{name}.key")
            shutil.copy(self.path("etc", f"{name}.key"), secret)
            # As systemd does: root's, and the access list shows as the group's right.
            os.chmod(secret, stat.S_IRUSR | (stat.S_IRGRP if os.geteuid() == 0 else 0))
        for name in ("learner", "actor"):
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

    def actor_service(self, unit="polyak-actor@.service"):
        return self.serve(unit, f"--connect={self.endpoint}", *harness.SLOW,
                          f"--learner-key={self.path('etc', 'learner.pub')}")

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
