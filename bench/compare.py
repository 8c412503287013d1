#!/usr/bin/env python3
"""Compares Polyak's DDPG update with the same update in JAX and in PyTorch; see README.md.

    bench/compare.py [--polyak PATH] [--without jax] [--without torch] [--json] ...

First it checks both peers against the reference vectors in tests/ref/ddpg, then it measures. Each
measurement is a process of its own, and those that are compared take turns, so that whatever else
the machine does hits all alike.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
OBS_DIM, ACT_DIM = 17, 6
SHAPES = (("256,256", 256), ("64,64", 100), ("400,300", 64))  # hidden, batch
WAYS = {"polyak": (None,), "jax": ("jit", "scan"), "torch": ("flat", "optim")}
NAMES = {"polyak": "Polyak", "jax": "JAX", "torch": "PyTorch"}
START_TIMEOUT_S = 120  # for a process to start, compile and warm up

DONE, FAILED, USAGE = 0, 1, 2


def stop(code, text):
    print(f"compare.py: {text}", file=sys.stderr)
    sys.exit(code)


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- Arguments --------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    def error(self, message):
        stop(USAGE, f"{message}; see compare.py --help")


def parse_args():
    parser = Parser(prog="compare.py", allow_abbrev=False,
                    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                    description="Compares Polyak's DDPG update with the same update in JAX and in "
                                "PyTorch, and prints a table.")
    parser.add_argument("--polyak", metavar="PATH", default=ROOT / "build" / "bin" / "polyak",
                        help="the program to measure")
    parser.add_argument("--python", metavar="PATH", default="/usr/bin/python3",
                        help="the Python that has torch; also makes the environment for JAX")
    parser.add_argument("--venv", metavar="DIR", default=ROOT / "build-bench" / "venv",
                        help="environment for JAX; made when it is not there")
    parser.add_argument("--without", choices=("jax", "torch"), action="append", default=[],
                        help="leave one out")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each figure")
    parser.add_argument("--json", action="store_true",
                        help="the last line of stdout is one JSON object")
    args = parser.parse_args()
    if not 0.05 <= args.seconds <= 3600:
        parser.error(f"--seconds {args.seconds:g}: not in 0.05 to 3600")
    if not 1 <= args.repeats <= 1000:
        parser.error(f"--repeats {args.repeats}: not in 1 to 1000")
    args.polyak = pathlib.Path(args.polyak).absolute()
    args.venv = pathlib.Path(args.venv).absolute()
    if not (args.polyak.is_file() and os.access(args.polyak, os.X_OK)):
        stop(USAGE, f"no program at {args.polyak}; build it with scripts/build.sh release, or name "
                    "it with --polyak PATH")
    return args


# --- What is measured -------------------------------------------------------------------------


def call(command, **how):
    """Runs a program to its end; stdout and stderr are kept."""
    command = [str(word) for word in command]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, **how)
    except OSError as error:
        stop(USAGE, f"cannot run {command[0]}: {error.strerror}")
    except subprocess.TimeoutExpired as error:
        stop(FAILED, f"took more than {error.timeout:.0f} s: {' '.join(command)}")


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def make_venv(args):
    """The environment with what requirements.txt names; its Python."""
    python, stamp = args.venv / "bin" / "python", args.venv / "requirements.txt"
    wanted = (HERE / "requirements.txt").read_text()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    if args.venv.exists() and not (args.venv / "pyvenv.cfg").exists():
        stop(USAGE, f"{args.venv} is there and is no Python environment; name another with --venv")
    say(f"making {args.venv} with JAX")
    commands = (([args.python, "-m", "venv", args.venv], "is python3-venv installed?"),
                ([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
                  HERE / "requirements.txt"], "or use --without jax"))
    for command, advice in commands:
        done = call(command)
        if done.returncode != 0:
            stop(FAILED, f"could not make {args.venv}: {last_line(done.stderr or done.stdout)} "
                         f"({advice})")
    stamp.write_text(wanted)
    return python


def need_torch(args):
    if call([args.python, "-c", "import torch"]).returncode != 0:
        stop(USAGE, f"{args.python} has no torch: apt-get install python3-torch, name another "
                    "with --python PATH, or use --without torch")
    return args.python


def environment(who, threads, all_threads):
    """Says `threads` in each library's own words."""
    env = dict(os.environ)
    if who == "jax":
        env.update(JAX_PLATFORMS="cpu", XLA_FLAGS="")
        if not all_threads:
            env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if who == "torch":
        # Of Debian's PyTorch only OpenBLAS gets the threads: see ddpg_torch.py.
        env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS=str(threads))
        # Freed tensors are used again, instead of going back to the kernel.
        env.update(MALLOC_TRIM_THRESHOLD_="1000000000", MALLOC_MMAP_THRESHOLD_="1000000000")
    return env


def run(command, who, threads, cpus, timeout_s):
    """The JSON object that a process prints, on the first `threads` of `cpus`."""
    pin = set(cpus[:threads])
    done = call(command, env=environment(who, threads, len(pin) == len(cpus)), timeout=timeout_s,
                preexec_fn=lambda: os.sched_setaffinity(0, pin))
    if done.returncode != 0:
        stop(FAILED, f"{NAMES[who]} failed: {last_line(done.stderr)}")
    try:
        return json.loads(last_line(done.stdout))
    except ValueError:
        stop(FAILED, f"{NAMES[who]} printed no JSON object: {last_line(done.stdout)}")


class Contest:
    def __init__(self, args):
        self.args = args
        self.cpus = sorted(os.sched_getaffinity(0))
        self.programs = {"polyak": [args.polyak, "bench", "update", "--json"]}
        if "torch" not in args.without:
            self.programs["torch"] = [need_torch(args), HERE / "ddpg_torch.py"]
        if "jax" not in args.without:
            self.programs["jax"] = [make_venv(args), HERE / "ddpg_jax.py"]
        self.programs = {who: self.programs[who] for who in WAYS if who in self.programs}
        self.ways = [(who, way) for who in self.programs for way in WAYS[who]]
        self.peers = [who for who in self.programs if who != "polyak"]

    def ask(self, who, words):
        return run([*self.programs[who], *words], who, 1, self.cpus, START_TIMEOUT_S)

    def versions(self):
        model = next((line.split(":", 1)[1].strip()
                      for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), "unknown")
        polyak = last_line(call([self.args.polyak, "bench", "update", "--version"]).stdout)
        versions = {"cpu": model, "cpus": len(self.cpus), "polyak": polyak.split()[-1]}
        for who in self.peers:
            versions.update(self.ask(who, ["versions"]))
        return versions

    def check(self):
        for who in self.peers:
            for way in WAYS[who]:
                result = self.ask(who, ["check", "--way", way])
                if not result["ok"]:
                    stop(FAILED, f"{NAMES[who]} ({way}) differs from tests/ref/ddpg by "
                                 f"{result['error_max']:.2g}, more than {result['tolerance']:g}")
                say(f"{NAMES[who]} ({way}) agrees with tests/ref/ddpg to "
                    f"{result['error_max']:.1g}")

    def measure(self, who, way, hidden, batch, threads):
        """us per update, in one process."""
        words = ["--obs-dim", OBS_DIM, "--act-dim", ACT_DIM, "--hidden", hidden, "--batch", batch,
                 "--threads", threads, "--seconds", self.args.seconds]
        if way:
            words = ["time", "--way", way, *words]
        result = run([*self.programs[who], *words], who, threads, self.cpus,
                     START_TIMEOUT_S + 10 * self.args.seconds)
        if "us_per_update" not in result:
            stop(FAILED, f"{NAMES[who]} did not report us_per_update")
        return result["us_per_update"]

    def row(self, hidden, batch, threads):
        figures = {key: [] for key in self.ways}
        for _ in range(self.args.repeats):
            for who, way in self.ways:
                print(f"  {threads} threads, {hidden}, batch {batch}: {NAMES[who]} {way or ''}",
                      file=sys.stderr, flush=True)
                figures[who, way].append(self.measure(who, way, hidden, batch, threads))
        row = {"threads": threads, "hidden": [int(width) for width in hidden.split(",")],
               "batch": batch}
        for who in self.programs:
            way = min(WAYS[who], key=lambda way: statistics.median(figures[who, way]))
            row[who] = summary(figures[who, way])
            if way:
                row[who].update(way=way, ways={one: summary(figures[who, one])
                                               for one in WAYS[who]})
        for who in self.peers:
            row[f"{who}_ratio"] = row[who]["us_per_update"] / row["polyak"]["us_per_update"]
        row["ratio"] = min((row[f"{who}_ratio"] for who in self.peers), default=None)
        return row


def summary(values):
    return {"us_per_update": statistics.median(values), "us_per_update_min": min(values),
            "us_per_update_max": max(values)}


# --- Report -----------------------------------------------------------------------------------


def cell(figure):
    text = (f"{figure['us_per_update']:,.0f} ({figure['us_per_update_min']:,.0f} to "
            f"{figure['us_per_update_max']:,.0f})")
    return f"{text} {figure['way']}" if "way" in figure else text


def report_head(contest, versions):
    args = contest.args
    print("One DDPG update: us, median (least to most) of "
          f"{args.repeats} processes of {args.seconds:g} s each; obs_dim {OBS_DIM}, "
          f"act_dim {ACT_DIM}")
    print(", ".join(f"{name} {value}" for name, value in versions.items()))
    print()
    columns = ["threads", "hidden", "batch", *(NAMES[who] for who in contest.programs),
               "faster peer / Polyak"]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns), flush=True)


def report_row(contest, row):
    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
    cells = [str(row["threads"]), "-".join(map(str, row["hidden"])), str(row["batch"]),
             *(cell(row[who]) for who in contest.programs), ratio]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    contest = Contest(parse_args())
    versions = contest.versions()
    contest.check()
    report_head(contest, versions)
    rows = []
    for threads in sorted({1, len(contest.cpus)}):
        for hidden, batch in SHAPES:
            rows.append(contest.row(hidden, batch, threads))
            report_row(contest, rows[-1])
    if contest.args.json:
        print(json.dumps({"versions": versions, "obs_dim": OBS_DIM, "act_dim": ACT_DIM,
                          "seconds": contest.args.seconds, "repeats": contest.args.repeats,
                          "rows": rows}))
    return DONE


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        stop(FAILED, "interrupted")
