"""What the measurements of whole fleets share: the processes of one, and what the kernel says of
them. Standard library only."""

import collections
import csv
import ctypes
import dataclasses
import json
import os
import pathlib
import resource
import signal
import socket
import statistics
import subprocess
import time

from scaling import Failure

START_S = 60.0
PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def _in_child():
    """What we start ends with us, however we end."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def raise_descriptors():
    """As many as the system gives, for all that is started later."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_endpoint():
    """A port of loopback whose next one, for the weights, is free too. Below those that the kernel
    gives to who dials out."""
    first = 20000 + os.getpid() * 37 % 12000 // 2 * 2
    for i in range(free_endpoint.next, free_endpoint.next + 1000):
        port = 20000 + (first - 20000 + 2 * i) % 12000
        with socket.socket() as one, socket.socket() as two:
            for sock in (one, two):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        free_endpoint.next = i + 1
        return f"tcp://127.0.0.1:{port}"
    raise Failure("no two free ports on loopback")


free_endpoint.next = 0


# --- What the kernel says -------------------------------------------------------------------------


def thread_name(pid, task, unnamed):
    """The main thread is called by what it does in every program of ours: its loop. Threads that
    have no name of their own are numbered in the order in which they were started."""
    name = (task / "comm").read_text().strip()
    if task.name == str(pid):
        return "loop"
    if name == pathlib.Path(f"/proc/{pid}/comm").read_text().strip():
        unnamed.append(task.name)
        return f"thread {len(unnamed)}"
    return name


def thread_seconds(pid):
    """CPU time that each thread of a process has used, by name."""
    used, unnamed = collections.defaultdict(float), []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda one: int(one.name)):
        try:
            name = thread_name(pid, task, unnamed)
            used[name] += int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue
    return used


def cpu_seconds(pid):
    return sum(thread_seconds(pid).values())


def busy_seconds():
    """CPU time of the whole machine, whoever used it."""
    first = pathlib.Path("/proc/stat").read_text().split("\n", maxsplit=1)[0]
    fields = [int(word) for word in first.split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def field_kib(pid, file, name):
    with open(f"/proc/{pid}/{file}", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


def resident_mb(pid):
    return field_kib(pid, "status", "VmRSS") / 1024


def proportional_mb(pids):
    """What processes take together: pages that several share count once."""
    return sum(field_kib(pid, "smaps_rollup", "Pss") for pid in pids) / 1024


def tcp_mb():
    """Memory of all TCP sockets of this machine."""
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:" and "mem" in words:
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


# --- Processes ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Meter:
    """What was used until a moment: CPU seconds, by group of processes."""

    wall_s: float
    machine_s: float
    groups: dict
    learner: dict  # by thread

    def until(self, later):
        """Processors in use between two meters: of each group and of each thread of the learner."""
        wall_s = later.wall_s - self.wall_s

        def share(before, after):
            return {name: (used - before.get(name, 0.0)) / wall_s for name, used in after.items()}

        return {"machine": (later.machine_s - self.machine_s) / wall_s,
                "groups": share(self.groups, later.groups),
                "learner_threads": share(self.learner, later.learner)}


class Fleet:
    """Processes that belong together, in a directory of their own; by groups such as `actor`."""

    def __init__(self, bin_directory, directory):
        self.bin = pathlib.Path(bin_directory)
        self.directory = pathlib.Path(directory)
        self.run_dir = self.directory / "run"
        self.endpoint = free_endpoint()
        self.groups = collections.defaultdict(list)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for group in reversed(list(self.groups)):
            self.stop(group)

    def log(self, name):
        return self.directory / f"{name}.log"

    def start(self, group, program, *flags, name=None):
        """Its log is that of `name`, or of the group."""
        with open(self.log(name or group), "a", encoding="utf-8") as log, \
                open(self.directory / f"{name or group}.out", "a", encoding="utf-8") as out:
            process = subprocess.Popen([self.bin / program, *map(str, flags)],
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                       preexec_fn=_in_child)
        process.log_path = self.log(name or group)
        self.groups[group].append(process)
        return process

    def stop(self, group, patience_s=30.0):
        """Lets all of a group end in order."""
        for process in self.groups[group]:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + patience_s
        for process in self.groups[group]:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.groups[group] = []

    def pids(self, group):
        return [process.pid for process in self.groups[group]]

    def check(self):
        for group, processes in self.groups.items():
            for process in processes:
                if process.poll() not in (None, 0):
                    words = process.log_path.read_text(errors="replace").strip().splitlines()
                    raise Failure(f"a process of {group} ended with {process.returncode}: "
                                  f"{words[-1] if words else 'without a word'}")

    def pause(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))

    def await_(self, what, condition, seconds=START_S, every_s=0.2):
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"{what}: not within {seconds:.0f} s")
            time.sleep(every_s)

    def says(self, name, text, count=1, seconds=START_S):
        """Waits until the log of `name` has the text so often."""
        self.await_(f'{name} says "{text}"',
                    lambda: self.log(name).exists()
                    and self.log(name).read_text(errors="replace").count(text) >= count, seconds)

    def start_learner(self, *flags):
        learner = self.start("learner", "polyak-learner", f"--bind={self.endpoint}",
                             f"--run-dir={self.run_dir}", "--progress=off", *flags)
        self.says("learner", "listening on")
        return learner

    def start_actors(self, count, *flags, batch=32, connect=None, name="actor"):
        """Some at a time, since each start takes processor time from those that run already. Waits
        until the learner has welcomed them."""
        before = len(self.groups["actor"])
        for first in range(0, count, batch):
            for i in range(first, min(first + batch, count)):
                self.start("actor", "polyak-actor", f"--connect={connect or self.endpoint}",
                           f"--name={name}-{i}", *flags)
            self.says("actor", "connected to", before + min(first + batch, count))

    def status(self):
        command = [self.bin / "polyak", "status", f"--connect={self.endpoint}", "--json"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            raise Failure(f"polyak status: {asked.stderr.strip()}")
        return json.loads(asked.stdout.splitlines()[-1])

    def inspect(self):
        command = [self.bin / "polyak", "inspect", f"--run-dir={self.run_dir}", "--json"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            raise Failure(f"polyak inspect: {asked.stderr.strip()}")
        return json.loads(asked.stdout.splitlines()[-1])

    def metrics(self):
        """Rows of metrics.csv that are whole."""
        try:
            text = (self.run_dir / "metrics.csv").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return list(csv.DictReader(text.split("\n")[:-1]))

    def meter(self):
        pid = self.pids("learner")[0]
        return Meter(time.monotonic(), busy_seconds(),
                     {group: sum(map(cpu_seconds, self.pids(group)))
                      for group in self.groups if group != "fleet"},
                     dict(thread_seconds(pid)))


def rate_between(rows, first_row, last_row=None):
    """Env steps per second of metrics.csv from one row to another: the slope of a line through all of
    them, since segments come in bursts and a window may begin or end within one."""
    window = rows[first_row:last_row]
    if len(window) < 2:
        raise Failure("metrics.csv has too few rows for a rate")
    return statistics.linear_regression([float(row["time_s"]) for row in window],
                                        [int(row["env_steps"]) for row in window]).slope
