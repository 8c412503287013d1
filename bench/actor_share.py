#!/usr/bin/env python3
"""Measures which share of an actor's time goes to anything but the environment, end to end.

    bench/actor_share.py [--bin build/bin] [--seconds 10] [--step-us 50] [--json FILE]

One learner and one actor talk over loopback TCP, each on a core of its own. The environment is
bench/busy.c, whose step takes a known time of computing, so

    share = 1 - env_steps * step_us / time

over an interval in which the actor acts with the policy. `time` is once the clock on the wall, and
once the CPU time of all the actor's threads. Learner and actor run free (updates_per_env_step 0),
and the learner's batch is small, so that its answers come at once. An actor that still waits for
the learner sleeps: the table says how much, and more than 2 % fails the measurement, as the share
is then not the actor's own. So does an actor without a policy. Windows in which other programs took
more than 2 % of the actor's core are left out of the figures, as long as three are left; where they
are not, the measurement fails too: the share of wall time is then too high, and that of CPU time
too low by about 1 %, as a step that is interrupted is partly over when it goes on.

Needs two cores, a C compiler, and a build (scripts/train.sh makes one).
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parent / "busy.c"
WARMUP_ENV_STEPS = 1000
WINDOWS = 10  # a share is the median of the quiet ones of these
QUIET_MIN = 3  # of the windows
TAKEN_MAX = 0.02  # of a quiet window, by other programs
METRICS_INTERVAL_MS = 20
SETTLE_S = 1.0  # with the policy, before the measurement
START_S = 20.0
ASLEEP_MAX = 0.02
CASES = (("64,64", 1), ("256,256", 4))  # hidden, environments of the actor


class Failure(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


@dataclasses.dataclass
class Threads:
    """What the actor's threads have used so far, by name."""

    wall_s: float
    cpu_s: dict
    queued_s: float  # the main thread: ready to run, while its core was taken


def read_threads(pid):
    cpu_s, queued_s = {}, 0.0
    wall_s = time.monotonic()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = "stepping" if task.name == str(pid) else (task / "comm").read_text().strip()
        on_cpu_ns, waited_ns, _ = map(int, (task / "schedstat").read_text().split())
        cpu_s[name] = cpu_s.get(name, 0.0) + on_cpu_ns / 1e9
        if name == "stepping":
            queued_s = waited_ns / 1e9
    return Threads(wall_s, cpu_s, queued_s)


def free_endpoint():
    """A port of loopback whose next one, for the weights, is free too."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return f"tcp://127.0.0.1:{port}"
    raise Failure("no two free ports on loopback")


def start(core, log, *command):
    """A process on one core: it inherits our affinity."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        with open(log, "w", encoding="utf-8") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    finally:
        os.sched_setaffinity(0, ours)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Fleet:
    """One learner and one actor, in a directory of their own."""

    def __init__(self, args, hidden, num_envs, directory):
        self.args, self.hidden, self.num_envs, self.directory = args, hidden, num_envs, directory
        self.run_dir = directory / "run"
        self.endpoint = free_endpoint()
        self.processes = {}

    def log(self, name):
        return self.directory / f"{name}.log"

    def start(self, name, core, *flags):
        program = self.args.bin / f"polyak-{name}"
        self.processes[name] = start(core, self.log(name), program, *flags)

    def __enter__(self):
        plugin = self.directory / "busy.so"
        build_plugin(plugin)
        actor_core, learner_core = self.args.cores
        try:
            self.start("learner", learner_core, f"--bind={self.endpoint}",
                       f"--run-dir={self.run_dir}", f"--hidden={self.hidden}",
                       "--updates-per-env-step=0", f"--warmup-env-steps={WARMUP_ENV_STEPS}",
                       "--total-env-steps=1000000000", "--replay-capacity=100000", "--batch=16",
                       "--threads=1", "--eval-interval-env-steps=0",
                       "--checkpoint-interval-s=86400",
                       f"--metrics-interval-ms={METRICS_INTERVAL_MS}", "--progress=off")
            self.start("actor", actor_core, f"--env={plugin}",
                       f"--env-options=step_us={self.args.step_us:g}",
                       f"--connect={self.endpoint}", f"--envs-per-actor={self.num_envs}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in ("actor", "learner"):
            if name in self.processes:
                stop(self.processes[name])

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                words = self.log(name).read_text(errors="replace").strip().splitlines()
                raise Failure(f"the {name} ended: {words[-1] if words else 'without a word'}")

    def status(self):
        self.check()
        command = [self.args.bin / "polyak", "status", f"--connect={self.endpoint}", "--json"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            raise Failure(f"polyak status: {asked.stderr.strip()}")
        return json.loads(asked.stdout.splitlines()[-1])

    def await_policy(self):
        deadline = time.monotonic() + START_S
        while self.status()["phase"] != "training":
            if time.monotonic() > deadline:
                raise Failure(f"the warm-up is not over after {START_S:.0f} s")
            time.sleep(0.1)
        time.sleep(SETTLE_S)

    def await_row(self):
        """Until a row of metrics.csv is new, so that its time is now."""
        metrics = self.run_dir / "metrics.csv"
        size, deadline = metrics.stat().st_size, time.monotonic() + START_S
        while metrics.stat().st_size == size:
            self.check()
            if time.monotonic() > deadline:
                raise Failure("metrics.csv does not grow")
            time.sleep(0.001)

    def rows(self):
        with open(self.run_dir / "metrics.csv", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["eval_return"] is not None]


def build_plugin(plugin):
    command = ["cc", "-O2", "-shared", "-fPIC", f"-I{SOURCE.parent.parent}", "-o", plugin, SOURCE]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as missing:
        raise Failure("there is no C compiler cc: install gcc") from missing
    except subprocess.CalledProcessError as failed:
        raise Failure(f"cc: {failed.stderr.strip()}") from failed


def cpu_between(before, after):
    """Share of the wall clock that each thread was on a core."""
    wall_s = after.wall_s - before.wall_s
    return {name: (used - before.cpu_s.get(name, 0.0)) / wall_s
            for name, used in after.cpu_s.items()}


def window_of(first, last, step_us):
    """Two samples (row of metrics.csv, Threads) as shares of the time between them."""
    (row, before), (later_row, after) = first, last
    steps = int(later_row["env_steps"]) - int(row["env_steps"])
    passed_s = float(later_row["time_s"]) - float(row["time_s"])
    cpu = cpu_between(before, after)
    queued = (after.queued_s - before.queued_s) / (after.wall_s - before.wall_s)
    environment = steps * step_us / 1e6 / passed_s
    return {"env_steps_per_s": steps / passed_s, "share": 1 - environment,
            "share_of_cpu_time": 1 - environment / sum(cpu.values()),
            "own_us_per_step": (sum(cpu.values()) - environment) / (steps / passed_s) * 1e6,
            "cpu_of_threads": cpu, "asleep": max(0.0, 1 - cpu["stepping"] - queued),
            "taken": max(0.0, queued - (sum(cpu.values()) - cpu["stepping"]))}


def sample_windows(args, fleet):
    """Samples of a fleet that is at work, one per window and one more, and what it waited for."""
    samples, waits = [], set()
    for i in range(WINDOWS + 1):
        time.sleep(args.seconds / WINDOWS if i else 0)
        fleet.await_row()
        threads = read_threads(fleet.processes["actor"].pid)
        samples.append((fleet.rows()[-1], threads))
        actors = fleet.status()["actors"]
        waits |= {actor["waiting_for"] for actor in actors if actor["waiting_for"]}
    return samples, sorted(waits)


def measure(args, hidden, num_envs):
    with tempfile.TemporaryDirectory() as directory:
        with Fleet(args, hidden, num_envs, pathlib.Path(directory)) as fleet:
            fleet.await_policy()
            rows_before = len(fleet.rows())
            samples, waits = sample_windows(args, fleet)
            rows = fleet.rows()[rows_before:]
    windows = [window_of(*pair, args.step_us) for pair in zip(samples, samples[1:])]
    quiet = [window for window in windows if window["taken"] <= TAKEN_MAX]
    used = quiet if len(quiet) >= QUIET_MIN else windows
    lags = [float(row["policy_lag_versions"]) for row in rows if row["policy_lag_versions"]]
    result = {"hidden": hidden, "envs_per_actor": num_envs, "quiet_windows": len(quiet),
              "waiting_for": waits, "windows": windows,
              "policy_lag_versions": statistics.mean(lags) if lags else None,
              "cpu_of_threads": cpu_between(samples[0][1], samples[-1][1])}
    for key in ("env_steps_per_s", "share", "share_of_cpu_time", "own_us_per_step", "asleep",
                "taken"):
        values = [window[key] for window in used]
        result[key] = statistics.median(values)
        result[f"{key}_min"], result[f"{key}_max"] = min(values), max(values)
    return result


def verdict(result):
    """What makes the figures worthless; None when nothing does."""
    case = f"--hidden {result['hidden']}, {result['envs_per_actor']} environments"
    if result["policy_lag_versions"] is None:
        return f"{case}: the actor had no policy"
    if result["quiet_windows"] < QUIET_MIN:
        return (f"{case}: other programs took the actor's core; measure again on a quiet machine, "
                "or see the share of CPU time alone")
    if result["asleep"] > ASLEEP_MAX:
        waits = "; ".join(result["waiting_for"]) or "nothing that status showed"
        return (f"{case}: the actor slept for {100 * result['asleep']:.1f} % of the time, so its "
                f"share is not its own. It waited for: {waits}")
    return None


def spread(result, key, digits=1):
    """A share in percent: the median, and the least to the most."""
    middle, least, most = (100 * result[k] for k in (key, f"{key}_min", f"{key}_max"))
    return f"{middle:.{digits}f} % ({least:.{digits}f} to {most:.{digits}f})"


def print_table(args, results):
    print(f"Share of an actor's time that is not the environment's. A step takes {args.step_us:g} "
          f"us; actor on core {args.cores[0]}, learner on core {args.cores[1]}; median of the "
          f"quiet ones of {WINDOWS} windows of {args.seconds / WINDOWS:g} s (least to most).\n")
    print("| hidden | environments | env steps/s | share of time | share of CPU time "
          "| own us/step | asleep | core taken | quiet windows | CPU of threads |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in results:
        threads = ", ".join(f"{name} {100 * used:.1f} %"
                            for name, used in r["cpu_of_threads"].items() if used >= 0.0005)
        print(f"| {r['hidden']} | {r['envs_per_actor']} | {r['env_steps_per_s']:,.0f} "
              f"| {spread(r, 'share')} | {spread(r, 'share_of_cpu_time')} "
              f"| {r['own_us_per_step']:.2f} | {spread(r, 'asleep')} | {spread(r, 'taken')} "
              f"| {r['quiet_windows']} of {WINDOWS} | {threads} |")


def parse(parser):
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/bin"),
                        help="directory of the programs")
    parser.add_argument("--seconds", type=float, default=10, help="of each case")
    parser.add_argument("--step-us", type=float, default=50, help="computing time of a step")
    parser.add_argument("--cores", help="ACTOR,LEARNER; default: the last two that may be used")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="keep the figures")
    args = parser.parse_args()
    for name in ("polyak", "polyak-learner", "polyak-actor"):
        if not os.access(args.bin / name, os.X_OK):
            parser.error(f"{args.bin / name} is not there: build it (scripts/train.sh), or name "
                         "the directory of the programs with --bin")
    if not 1 <= args.seconds <= 3600:
        parser.error("--seconds is 1 to 3600")
    if not 1 <= args.step_us <= 1e6:
        parser.error("--step-us is 1 to 1000000")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {args.json.parent}")
    usable = sorted(os.sched_getaffinity(0))
    try:
        args.cores = [int(core) for core in args.cores.split(",")] if args.cores else usable[-2:]
    except ValueError:
        parser.error("--cores is two numbers, such as 1,0")
    if len(set(args.cores)) != 2 or not set(args.cores) <= set(usable):
        parser.error(f"two different cores are needed; this process may use {usable}")
    return args


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the fleet ends too
    args = parse(Parser(prog="actor_share.py", description=__doc__.splitlines()[0]))
    os.sched_setaffinity(0, {args.cores[1]})  # looking on must not disturb the actor
    try:
        results = [measure(args, hidden, num_envs) for hidden, num_envs in CASES]
    except (Failure, OSError) as failure:
        sys.exit(f"actor_share.py: {failure}")
    print_table(args, results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    faults = [fault for fault in map(verdict, results) if fault]
    for fault in faults:
        print(f"actor_share.py: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
