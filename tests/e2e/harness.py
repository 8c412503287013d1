"""What the end-to-end tests share: programs in a private directory, and what they leave there.

A test is a method of an EndToEnd. What it starts is killed at its end, by process id, and dies with
this process; what it writes is removed; and what its programs said is shown when it fails. Waits are
for events, with a deadline that is far away: no test measures speed. Standard library only.
"""

import csv
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ["POLYAK_BIN_DIR"]
PLUGINS = os.environ["POLYAK_PLUGIN_DIR"]
SANITIZED = bool(os.environ.get("POLYAK_SANITIZE"))
DEADLINE_S = 60
SKIPPED = 77  # exit code of a script whose tests cannot be run here

# Small networks and few steps. Checkpoints and metrics as often as they can be had.
SMALL = ["--hidden=16,16", "--batch=32", "--replay-capacity=10000", "--warmup-env-steps=500",
         "--metrics-interval-ms=20", "--checkpoint-interval-s=1", "--heartbeat-interval-ms=200",
         "--eval-interval-env-steps=0"]
# An environment that takes its time, so that there is a midway: 500 steps a second at most.
SLOW_ENV = os.path.join(PLUGINS, "slow_env.so")
NAN_ENV = os.path.join(PLUGINS, "nan_env.so")
SLOW = [f"--env={SLOW_ENV}", "--env-options=us=2000,limit=20"]

_prctl = ctypes.CDLL(None).prctl
_PR_SET_PDEATHSIG = 1


def dies_with_its_parent():
    """A test that is killed takes its programs along."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _in_child():
    """And an interrupt is heard as in a terminal."""
    dies_with_its_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port():
    """A port that is free, as is the next one: below those that the kernel gives to others."""
    for _ in range(1000):
        port = random.randrange(20000, 32000, 2)
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
                return port
        except OSError:
            continue
    raise RuntimeError("no two free ports")


def wait_until(condition, what):
    """Waits until condition() is true, and returns what it returned."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.02)


def is_running(pid):
    """Whether there is such a process, and not only its exit code."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid):
    """Process ids of the children, by the name that --name gives them, or `learner`."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        pids = [int(word) for word in file.read().split()]
    found = {}
    for child in pids:
        with open(f"/proc/{child}/cmdline", encoding="utf-8") as file:
            args = file.read().split("\0")
        names = [arg[len("--name="):] for arg in args if arg.startswith("--name=")]
        found[names[0] if names else "learner"] = child
    return found


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Program:
    """A program that runs, what it said, and how it ended."""

    _count = 0

    def __init__(self, directory, args, environment):
        Program._count += 1
        self.args = args
        number = Program._count
        self.log_path = os.path.join(directory, f"{number}.err")
        self.out_path = os.path.join(directory, f"{number}.out")
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            self.popen = subprocess.Popen(args, cwd=directory, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=log, env=environment, preexec_fn=_in_child)
        self.pid = self.popen.pid

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def log(self):
        return self._read(self.log_path)

    @property
    def out(self):
        return self._read(self.out_path)

    def says(self, text):
        """Waits until it has said so on stderr."""
        def said():
            ended = self.popen.poll() is not None
            if text in self.log:
                return True
            if ended:
                raise AssertionError(f'it ended and did not say "{text}"')
            return False
        wait_until(said, f'{os.path.basename(self.args[0])} says "{text}"')

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)

    def end(self):
        """Waits for its end. The exit code, or the negative number of a signal."""
        return self.popen.wait(DEADLINE_S)

    def story(self):
        return (f"--- {' '.join(self.args)}\n"
                f"    ended with {self.popen.poll()}\n{self.log}{self.out}")


class EndToEnd(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="polyak-e2e-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.programs = []
        self.stories = []
        self.emulator = []  # the words before a program's name
        self.asking = []  # flags of `polyak status`
        self.inside = {}  # by program: the words before those, where it runs on a host of its own
        self.addCleanup(self._kill_all)
        self.sockets = self.path("sockets")  # where `train` has its sockets
        os.mkdir(self.sockets)
        self.environment = dict(os.environ, TMPDIR=self.sockets)
        self.environment.pop("XDG_RUNTIME_DIR", None)
        self.port = free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"

    def _kill_all(self):
        for program in self.programs:
            if program.popen.poll() is None:
                program.popen.kill()
                program.popen.wait()
        self.stories = [program.story() for program in self.programs]

    def run(self, result=None):
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            print(f"\n=== {self.id()}", *self.stories, sep="\n", file=sys.stderr)
        return result

    # --- Files

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def metrics(self, run="run"):
        """The rows of metrics.csv that are whole."""
        try:
            with open(self.path(run, "metrics.csv"), encoding="utf-8", newline="") as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return list(csv.DictReader(lines))

    def reaches(self, env_steps, run="run"):
        """Waits until the run has this many steps, as long as there is a program that takes some."""
        def reached():
            alive = any(program.popen.poll() is None for program in self.programs)
            rows = self.metrics(run)
            if rows and int(rows[-1]["env_steps"]) >= env_steps:
                return True
            self.assertTrue(alive, f"all ended before {env_steps} steps of {run}")
            return False
        wait_until(reached, f"{env_steps} steps of {run}")

    def checkpoints(self, run="run"):
        """Paths of the whole checkpoints, oldest first."""
        directory = self.path(run, "checkpoints")
        names = os.listdir(directory) if os.path.isdir(directory) else []
        return [os.path.join(directory, name) for name in sorted(names)
                if name.startswith("checkpoint-") and name.endswith(".safetensors")]

    def epoch(self, run="run"):
        with open(self.path(run, "run.json"), encoding="utf-8") as file:
            return json.load(file)["epoch"]

    # --- Programs

    def start(self, program, *args):
        words = [*self.inside.get(program, ()), *self.emulator, os.path.join(BIN, program), *args]
        started = Program(self.directory, words, self.environment)
        self.programs.append(started)
        return started

    def learner(self, *args, run="run"):
        """Starts one and waits until it listens."""
        learner = self.start("polyak-learner", f"--bind={self.endpoint}", f"--run-dir={run}", *args)
        learner.says("listening on")
        return learner

    def actor(self, name, *args):
        return self.start("polyak-actor", f"--connect={self.endpoint}", f"--name={name}", *args)

    def finish(self, program, *args):
        """Runs it to its end."""
        started = self.start(program, *args)
        started.end()
        return started

    def evaluate(self, *args, run="run", episodes=1):
        """What `polyak eval --json` says."""
        done = self.finish("polyak", "eval", f"--run-dir={run}", f"--episodes={episodes}", "--json",
                           *args)
        self.assertEqual(done.end(), 0)
        return json.loads(done.out)

    def status(self, endpoint=None):
        """What `polyak status --json` says."""
        asked = self.finish("polyak", "status", f"--connect={endpoint or self.endpoint}", "--json",
                            *self.asking)
        self.assertEqual(asked.end(), 0)
        self.programs.remove(asked)  # it is asked again and again: no part of the story
        return json.loads(asked.out)

    def status_shows(self, what, condition):
        """Waits until condition(status) is true; the status."""
        def look():
            status = self.status()
            return status if condition(status) else None
        return wait_until(look, f"status shows {what}")

    # --- What must hold

    def assert_refused(self, code, text, program, *args):
        """It ends with this exit code, and with one line on stderr that has this text."""
        refused = self.finish(program, *args)
        self.assertEqual(refused.end(), code)
        self.assertEqual(refused.out, "")
        self.assertEqual(refused.log.count("\n"), 1, "not one line")
        self.assertIn(text, refused.log)

    def assert_fails(self, program, code, text):
        """It ends with this exit code; one line of its log is an error, the last, and it has this
        text."""
        self.assertEqual(program.end(), code)
        lines = program.log.splitlines()
        errors = [line for line in lines if "error: " in line]
        self.assertEqual(errors, lines[-1:])
        self.assertIn(text, errors[0])

    def assert_done(self, env_steps, updates=None, run="run", killed=False):
        """The run has exactly these counters, in its newest checkpoint and in its metrics.

        A learner that was killed does its last updates again: its metrics may go back a little.
        """
        self.assertTrue(self.checkpoints(run))
        newest = self.evaluate(run=run)
        self.assertEqual(newest["checkpoint"], os.path.relpath(self.checkpoints(run)[-1],
                                                               self.directory))
        self.assertEqual(newest["env_steps"], env_steps)
        rows = self.metrics(run)
        for counter in ("env_steps", "updates", "episodes"):
            values = [int(row[counter]) for row in rows]
            if not killed:
                self.assertEqual(values, sorted(values), f"{counter} goes back")
        self.assertEqual(int(rows[-1]["env_steps"]), env_steps)
        self.assertEqual(int(rows[-1]["updates"]), newest["updates"])
        if updates is not None:
            self.assertEqual(newest["updates"], updates)


def knows(program, flag):
    """Whether a program has this flag."""
    said = subprocess.run([os.path.join(BIN, program), "--help"], capture_output=True, text=True,
                          check=True)
    return flag in said.stdout


def main():
    """Runs the tests. Where all were skipped, the exit code says so."""
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    if result.wasSuccessful() and len(result.skipped) == result.testsRun > 0:
        sys.exit(SKIPPED)
    sys.exit(0 if result.wasSuccessful() else 1)
