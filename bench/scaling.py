#!/usr/bin/env python3
"""Measures how the cost of Polyak's parts grows, and writes tables (Markdown, stdout) and charts.

    bench/scaling.py [hidden] [batch] [threads] [replay] [actors] [OPTION...]

    hidden   an update, by the width of two hidden layers; batch 256
    batch    an update, by the batch; hidden 256,256
    threads  an update, by the learner's threads; 256,256 with batch 256, and 400,300 with 64
    replay   drawing a batch and appending, by the steps that the replay holds
    actors   whole runs of `polyak train` on pendulum, by the number of actors

All five when none is named. Dimensions are 17 and 6. A figure of the first four is the median of
the repeats of `polyak bench`, and the charts' bars go from the least to the most of them; one of
`actors` is the median of --runs runs. Needs a build (scripts/train.sh makes one).
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import plots
from plots import Panel, Series

WIDTHS = (32, 64, 128, 256, 512, 1024)
BATCHES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
THREAD_SHAPES = (("256,256", 256), ("400,300", 64))
REPLAY_STEPS = (10**4, 10**5, 10**6, 10**7)
REPLAY_BATCH = 256
ACTORS = (1, 2, 3, 4, 6, 8)
OBS_DIM, ACT_DIM = 17, 6
RUN_ENV_STEPS, FREE_ENV_STEPS = 10_000, 500_000
WARMUP_ENV_STEPS = 1_000
METRICS_INTERVAL_MS = 20
CALL_S_MAX = 600
UPDATE_KEYS = ("us_per_update", "gflops", "peak_gflops", "fraction_of_peak")


class Failure(Exception):
    pass


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


# --- Running the program --------------------------------------------------------------------------


def run_json(*command):
    """What a command prints as its last line."""
    words = " ".join(str(word) for word in command)
    print(f"  {words}", file=sys.stderr)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=CALL_S_MAX)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"no end after {CALL_S_MAX} s: {words}") from late
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise Failure(f"{said[-1] if said else f'exit code {done.returncode}'}: {words}")
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as broken:
        raise Failure(f"the last line is not JSON: {words}") from broken


def bench_update(args, hidden, batch, threads):
    result = run_json(args.polyak, "bench", "update", "--obs-dim", str(OBS_DIM), "--act-dim",
                      str(ACT_DIM), "--hidden", hidden, "--batch", str(batch), "--threads",
                      str(threads), "--seconds", str(args.seconds), "--json")
    missing = [key for key in UPDATE_KEYS if key not in result]
    if missing:
        raise Failure(f"polyak bench update does not print {missing[0]}: build it again")
    return result


def usable_threads():
    return len(os.sched_getaffinity(0))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return {"cpu": models[0] if models else "unknown", "threads": usable_threads(),
            "load": os.getloadavg()[0]}


# --- Tables and charts ----------------------------------------------------------------------------


def number(value):
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def threads_text(threads):
    return "one thread" if threads == 1 else f"{threads} threads"


def percent(value):
    return f"{100 * value:.0f} %"


def table(title, heads, rows):
    print(f"\n### {title}\n")
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")


def points(rows, x, key, factor=1):
    """(x, median, least, most) of each row."""
    return [(row[x], *(factor * row[name] for name in (key, f"{key}_min", f"{key}_max")))
            for row in rows]


def table_of_updates(title, x, rows):
    table(title, (x, "us per update", "least to most", "us per transition", "GFLOP/s",
                  "peak GFLOP/s", "of the peak"),
          [(row[x], number(row["us_per_update"]),
            f"{number(row['us_per_update_min'])} to {number(row['us_per_update_max'])}",
            number(row["us_per_update"] / row["batch"]), number(row["gflops"]),
            number(row["peak_gflops"]), percent(row["fraction_of_peak"])) for row in rows])


def chart_of_updates(args, name, x, x_label, rows):
    plots.write(args.plots / f"{name}.svg", [
        Panel("Time of an update", x_label, "µs per update",
              [Series("", points(rows, x, "us_per_update"))]),
        Panel("Share of the arithmetic peak", x_label, "% of the peak",
              [Series("", points(rows, x, "fraction_of_peak", 100))], y_log=False, y_max=100)])


# --- What is measured -----------------------------------------------------------------------------


def measure_hidden(args):
    rows = [{"width": width, **bench_update(args, f"{width},{width}", 256, args.threads)}
            for width in WIDTHS]
    table_of_updates(f"Hidden width: two layers, batch 256, {threads_text(rows[0]['threads'])}", "width",
                     rows)
    chart_of_updates(args, "hidden", "width", "width of both hidden layers (units)", rows)
    return rows


def measure_batch(args):
    rows = [bench_update(args, "256,256", batch, args.threads) for batch in BATCHES]
    table_of_updates(f"Batch: hidden 256,256, {threads_text(rows[0]['threads'])}", "batch", rows)
    chart_of_updates(args, "batch", "batch", "batch (transitions)", rows)
    return rows


def thread_counts():
    """1 … 8 and the powers of two after it, up to all that may be used."""
    most = usable_threads()
    return [n for n in range(1, most + 1) if n <= 8 or n == most or n & (n - 1) == 0]


def measure_threads(args):
    """With more than one thread, `polyak bench update` measures one thread too, in turns."""
    results = {}
    for hidden, batch in THREAD_SHAPES:
        rows = [bench_update(args, hidden, batch, threads) for threads in thread_counts()]
        for row in rows:
            for key in ("speedup", "peak_speedup"):
                for name in (key, f"{key}_min", f"{key}_max"):
                    row.setdefault(name, 1.0)
        results[f"{hidden}, batch {batch}"] = rows
        table(f"Threads: hidden {hidden}, batch {batch}",
              ("threads", "us per update", "speedup", "least to most", "speedup of the peak",
               "GFLOP/s", "of the peak"),
              [(row["threads"], number(row["us_per_update"]), f"{row['speedup']:.2f}",
                f"{row['speedup_min']:.2f} to {row['speedup_max']:.2f}",
                f"{row['peak_speedup']:.2f}", number(row["gflops"]),
                percent(row["fraction_of_peak"])) for row in rows])
    first = next(iter(results.values()))
    series = [Series(name, points(rows, "threads", "speedup")) for name, rows in results.items()]
    series.append(Series("the peak", points(first, "threads", "peak_speedup")))
    plots.write(args.plots / "threads.svg", [
        Panel("Speedup of an update", "threads", "times one thread", series, y_log=False)])
    return results


def measure_replay(args):
    rows = [{"steps": steps, **run_json(
        args.polyak, "bench", "replay", "--replay-capacity", str(steps), "--obs-dim", str(OBS_DIM),
        "--act-dim", str(ACT_DIM), "--batch", str(REPLAY_BATCH), "--seconds", str(args.seconds),
        "--json")} for steps in REPLAY_STEPS]
    for row in rows:
        for bound, other in (("", ""), ("_min", "_max"), ("_max", "_min")):
            row[f"ns_per_step{bound}"] = 1e9 / row[f"append_steps_per_s{other}"]
    table(f"Replay: drawing a batch of {REPLAY_BATCH}, and appending segments of 64 steps",
          ("steps", "MB", "us per batch", "least to most", "ns per transition drawn",
           "ns per step appended", "least to most"),
          [(f"{row['steps']:,}", number(row["bytes"] / 1e6), number(row["us_per_batch"]),
            f"{number(row['us_per_batch_min'])} to {number(row['us_per_batch_max'])}",
            number(row["us_per_batch"] * 1e3 / REPLAY_BATCH), number(row["ns_per_step"]),
            f"{number(row['ns_per_step_min'])} to {number(row['ns_per_step_max'])}")
           for row in rows])
    plots.write(args.plots / "replay.svg", [
        Panel(f"Drawing a batch of {REPLAY_BATCH}", "replay (steps)", "µs per batch",
              [Series("", points(rows, "steps", "us_per_batch"))]),
        Panel("Appending", "replay (steps)", "ns per step",
              [Series("", points(rows, "steps", "ns_per_step"))], y_log=False)])
    return rows


# --- Whole runs -----------------------------------------------------------------------------------


def rates_after_warmup(path):
    """Env steps and updates per second, from the first row after the warm-up to the last one with
    new steps."""
    with open(path, encoding="utf-8") as file:
        rows = [(float(row["time_s"]), int(row["env_steps"]), int(row["updates"]))
                for row in csv.DictReader(file)]
    last = next(i for i, row in enumerate(rows) if row[1] == rows[-1][1])
    rows = [row for row in rows[:last + 1] if row[1] > WARMUP_ENV_STEPS]
    passed_s = rows[-1][0] - rows[0][0] if rows else 0
    if passed_s <= 0:
        raise Failure("a run was too short to see its rate")
    return [(rows[-1][i] - rows[0][i]) / passed_s for i in (1, 2)]


def train_once(args, actors, ratio, env_steps, seed):
    with tempfile.TemporaryDirectory() as directory:
        run_dir = pathlib.Path(directory) / "run"
        result = run_json(
            args.polyak, "train", "--env", "pendulum", "--actors", str(actors), "--hidden", "64,64",
            "--batch", "100", "--total-env-steps", str(env_steps), "--warmup-env-steps",
            str(WARMUP_ENV_STEPS), "--updates-per-env-step", str(ratio), "--seed", str(seed),
            "--eval-interval-env-steps", "0", "--metrics-interval-ms", str(METRICS_INTERVAL_MS),
            "--run-dir", str(run_dir), "--progress", "off", "--json")
        env_steps_per_s, updates_per_s = rates_after_warmup(run_dir / "metrics.csv")
    return {"actors": actors, "wall_s": result["wall_s"], "env_steps_per_s": env_steps_per_s,
            "updates_per_s": updates_per_s, "updates": result["updates"]}


def median_of_runs(runs):
    row = {"actors": runs[0]["actors"], "runs": runs}
    for key in ("wall_s", "env_steps_per_s", "updates_per_s", "updates"):
        values = [run[key] for run in runs]
        row[key] = statistics.median(values)
        row[f"{key}_min"], row[f"{key}_max"] = min(values), max(values)
    return row


def measure_actors(args):
    cases = {"one update per env step": (1, RUN_ENV_STEPS), "both sides free": (0, FREE_ENV_STEPS)}
    runs = {(name, actors): [] for name in cases for actors in ACTORS}
    for seed in range(1, args.runs + 1):  # the cases take turns
        for (name, actors), done in runs.items():
            done.append(train_once(args, actors, *cases[name], seed))
    results = {name: [median_of_runs(runs[name, actors]) for actors in ACTORS] for name in cases}
    for name, rows in results.items():
        table(f"Actors: pendulum, 64,64, batch 100, {cases[name][1]:,} env steps, {name}; "
              f"{usable_threads()} cores, median of {args.runs} runs",
              ("actors", "wall s", "least to most", "env steps/s", "least to most", "updates/s"),
              [(row["actors"], f"{row['wall_s']:.2f}",
                f"{row['wall_s_min']:.2f} to {row['wall_s_max']:.2f}",
                number(row["env_steps_per_s"]),
                f"{number(row['env_steps_per_s_min'])} to {number(row['env_steps_per_s_max'])}",
                number(row["updates_per_s"])) for row in rows])
    plots.write(args.plots / "actors.svg", [
        Panel("Steps into the replay", "actors", "env steps per second",
              [Series(name, points(rows, "actors", "env_steps_per_s"))
               for name, rows in results.items()]),
        Panel("Time of a whole run", "actors", "wall time (s)",
              [Series(f"{cases[name][1]:,} env steps, {name}", points(rows, "actors", "wall_s"))
               for name, rows in results.items()], y_log=False)])
    return results


# --- Command line ---------------------------------------------------------------------------------


MEASUREMENTS = {"hidden": measure_hidden, "batch": measure_batch, "threads": measure_threads,
                "replay": measure_replay, "actors": measure_actors}


def parse(parser):
    parser.add_argument("what", nargs="*", metavar="WHAT",
                        help=f"{', '.join(MEASUREMENTS)}; all when none is named")
    parser.add_argument("--polyak", type=pathlib.Path, default=pathlib.Path("build/bin/polyak"),
                        help="the program (default build/bin/polyak)")
    parser.add_argument("--seconds", type=float, default=2, help="of each measurement (default 2)")
    parser.add_argument("--threads", type=int, default=0,
                        help="of the updates in hidden and batch; default: all that may be used")
    parser.add_argument("--runs", type=int, default=3, help="of each case of actors (default 3)")
    parser.add_argument("--plots", type=pathlib.Path, default=pathlib.Path("docs/plots"),
                        metavar="DIR", help="where the charts go (default docs/plots)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="keep the raw figures")
    args = parser.parse_args()
    for word in args.what:
        if word not in MEASUREMENTS:
            parser.error(f"'{word}' is not measured here; {', '.join(MEASUREMENTS)} are")
    if not os.access(args.polyak, os.X_OK) or args.polyak.is_dir():
        parser.error(f"there is no program {args.polyak}: build it (scripts/train.sh), or name it "
                     "with --polyak")
    for name, value, least, most in (("seconds", args.seconds, 0.01, 100),
                                     ("threads", args.threads, 0, 256), ("runs", args.runs, 1, 99)):
        if not least <= value <= most:
            parser.error(f"--{name} is {least} to {most}")
    try:
        args.plots.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--plots: {args.plots}: {error.strerror}")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {args.json.parent}")
    return args


def main():
    args = parse(Parser(prog="scaling.py", description=__doc__.splitlines()[0]))
    args.polyak = args.polyak.absolute()
    here = machine()
    figures = {"machine": here}
    print(f"Machine: {here['cpu']}, {here['threads']} threads may be used; load average before: "
          f"{here['load']:.1f}. obs_dim {OBS_DIM}, act_dim {ACT_DIM}.")
    try:
        for name in args.what or MEASUREMENTS:
            figures[name] = MEASUREMENTS[name](args)
            sys.stdout.flush()
            if args.json:
                args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except (Failure, OSError) as failure:
        sys.exit(f"scaling.py: {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
