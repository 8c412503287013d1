#!/usr/bin/env python3
"""Measures how much sooner a policy is good with more actors, where the environment is slow.

    bench/speedup.py [--actors 1,2,4,8,16,32,64] [--seeds 5] [--step-ms 5] [--bar -200] [OPTION...]

Pendulum, whose step sleeps for --step-ms in the actors. The evaluator is one of its own that does not
sleep: an evaluation takes milliseconds, and says what the policy is worth, whatever the actors'
environment takes. A run's time to the bar is from the learner's start of listening to the row of
metrics.csv with the first evaluation at or above the bar (mean over --eval-episodes episodes). With
--hold it must stay there for so many evaluations in a row; the time is that of the first of them.
A run ends once it is there, or after --total-env-steps.

Prints a table and draws a chart. --json keeps the figures after each run, and goes on from there when
it is called again; --markdown FILE prints the table of such a file. Needs a build (scripts/train.sh
makes one).
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time

import fleet
import plots
from fleet import Fleet
from plots import Panel, Series
from scaling import Failure, Parser, machine, table

METRICS_INTERVAL_MS = 20
RUN_S_MAX = 900.0
SETTINGS = ("step_ms", "bar", "hold", "total_env_steps", "eval_interval", "eval_episodes",
               "learner_flags")


def evaluations_of(rows):
    """(time, env steps, return) of each evaluation."""
    return [(float(row["time_s"]), int(row["env_steps"]), float(row["eval_return"]))
            for row in rows if row["eval_return"]]


def first_at_bar(evaluations, bar, hold):
    """The first evaluation of `hold` in a row that are at or above the bar; None: not yet."""
    for i in range(len(evaluations) - hold + 1):
        if all(one[2] >= bar for one in evaluations[i:i + hold]):
            return evaluations[i]
    return None


def train_once(args, actors, seed):
    """One run, until the bar or its end."""
    with tempfile.TemporaryDirectory() as directory, Fleet(args.bin, directory) as running:
        running.start_learner("--env=pendulum", f"--seed={seed}", f"--threads={args.threads}",
                              f"--total-env-steps={args.total_env_steps}",
                              f"--eval-interval-env-steps={args.eval_interval}",
                              f"--eval-episodes={args.eval_episodes}",
                              f"--metrics-interval-ms={METRICS_INTERVAL_MS}",
                              "--checkpoint-interval-s=86400", *args.learner_flags)
        running.start("evaluator", "polyak-actor", f"--connect={running.endpoint}",
                      "--env=pendulum", "--role=evaluator")
        for i in range(actors):
            running.start("actor", "polyak-actor", f"--connect={running.endpoint}",
                          "--env=pendulum", f"--env-options=step_ms={args.step_ms:g}",
                          f"--name=actor-{i}")
        reached, deadline = None, time.monotonic() + RUN_S_MAX
        learner = running.groups["learner"][0]
        while not reached and learner.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"{actors} actors, seed {seed}: no end after {RUN_S_MAX:.0f} s")
            running.check()
            time.sleep(0.05)
            reached = first_at_bar(evaluations_of(running.metrics()), args.bar, args.hold)
        if learner.poll() not in (None, 0):
            running.check()
        rows = running.metrics()
        reached = first_at_bar(evaluations_of(rows), args.bar, args.hold)
        last = rows[-1]
    evaluations = evaluations_of(rows)
    return {"actors": actors, "seed": seed, "reached": reached is not None,
            "time_s": reached[0] if reached else None,
            "env_steps": reached[1] if reached else int(last["env_steps"]),
            "last_return": evaluations[-1][2] if evaluations else None,
            "env_steps_per_s": int(last["env_steps"]) / float(last["time_s"]),
            "updates": int(last["updates"])}


# --- Tables and the chart -------------------------------------------------------------------------


def summarize(runs):
    """A row for each number of actors: medians over seeds; a run that never got there counts as the
    longest."""
    rows = []
    for actors in sorted({run["actors"] for run in runs}):
        mine = [run for run in runs if run["actors"] == actors]
        times = sorted(run["time_s"] if run["reached"] else float("inf") for run in mine)
        steps = [run["env_steps"] for run in mine if run["reached"]]
        rows.append({"actors": actors, "seeds": len(mine), "reached": len(steps),
                     "time_s": statistics.median_low(times), "least": times[0], "most": times[-1],
                     "env_steps": statistics.median(steps) if steps else None,
                     "env_steps_per_s": statistics.median(run["env_steps_per_s"] for run in mine)})
    return rows


def seconds(value):
    return "not reached" if value == float("inf") else f"{value:.2f}"


def show(args, figures):
    here, keys = figures["machine"], figures["keys"]
    rows = summarize(figures["runs"])
    first = rows[0]
    print(f"Machine: {here['cpu']}, {here['threads']} threads may be used; load average before: "
          f"{here['load']:.1f}.")
    hold = f", {keys['hold']} evaluations in a row" if keys["hold"] > 1 else ""
    table(f"Time to a return of {keys['bar']:g} on pendulum with a step of {keys['step_ms']:g} ms; "
          f"median over seeds{hold}",
          ("actors", "seeds", "reached", "seconds", "least to most",
           f"speed-up over {first['actors']}", "env steps", "env steps/s"),
          [(row["actors"], row["seeds"], row["reached"], seconds(row["time_s"]),
            f"{seconds(row['least'])} to {seconds(row['most'])}",
            "" if float("inf") in (row["time_s"], first["time_s"])
            else f"{first['time_s'] / row['time_s']:.1f}",
            f"{row['env_steps']:,.0f}" if row["env_steps"] else "",
            f"{row['env_steps_per_s']:,.0f}") for row in rows])
    drawn = [row for row in rows if row["time_s"] < float("inf")]
    if len(drawn) < 2 or drawn[0] is not first:
        return

    def ratios(row):
        return (row["actors"], *(first["time_s"] / min(row[key], RUN_S_MAX)
                                 for key in ("time_s", "most", "least")))

    base = first["actors"]
    plots.write(args.plots / "speedup.svg", [
        Panel("Time to the bar", "actors", "seconds",
              [Series("", [(row["actors"], row["time_s"], row["least"], min(row["most"], RUN_S_MAX))
                           for row in drawn])]),
        Panel(f"Speed-up over {base} actor{'s' * (base > 1)}", "actors", "times as fast",
              [Series("measured", [ratios(row) for row in drawn]),
               Series("ideal", [(row["actors"], row["actors"] / base) for row in drawn])])])


# --- Command line ---------------------------------------------------------------------------------


def parse(parser):
    add = parser.add_argument
    add("--bin", type=pathlib.Path, default=pathlib.Path("build/bin"),
        help="directory of the programs (default build/bin)")
    add("--actors", default="1,2,4,8,16,32,64", help="numbers of them (default 1,2,4,…,64)")
    add("--seeds", type=int, default=5, help="runs of each number (default 5)")
    add("--step-ms", type=float, default=5, help="time of an env step (default 5)")
    add("--bar", type=float, default=-160, help="return that is good (default -160)")
    add("--hold", type=int, default=1, help="evaluations in a row (default 1)")
    add("--total-env-steps", type=int, default=20000, help="end of a run (default 20000)")
    add("--eval-interval", type=int, default=500, help="env steps (default 500)")
    add("--eval-episodes", type=int, default=100,
        help="of each evaluation (default 100)")
    add("--threads", type=int, default=1, help="of the trainer (default 1)")
    add("--learner-flags", default="", help="more flags of the learner, separated by spaces")
    add("--plots", type=pathlib.Path, default=pathlib.Path("docs/plots"), metavar="DIR",
        help="where the chart goes (default docs/plots)")
    add("--json", type=pathlib.Path, metavar="FILE", help="keep the figures, and go on from them")
    add("--markdown", type=pathlib.Path, metavar="FILE", help="print the table of such a file")
    args = parser.parse_args()
    args.learner_flags = args.learner_flags.split()
    try:
        args.actors = sorted({int(word) for word in args.actors.split(",")})
    except ValueError:
        parser.error("--actors is a list of numbers, such as 1,8,64")
    if args.actors[0] < 1 or args.seeds < 1 or args.hold < 1 or args.step_ms < 0:
        parser.error("--actors, --seeds and --hold are at least 1, --step-ms is not below 0")
    if args.markdown and not args.markdown.is_file():
        parser.error(f"--markdown: there is no file {args.markdown}")
    for name in ("polyak-learner", "polyak-actor"):
        if not args.markdown and not os.access(args.bin / name, os.X_OK):
            parser.error(f"{args.bin / name} is not there: build it (scripts/train.sh), or name "
                         "the directory of the programs with --bin")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {args.json.parent}")
    return args


def begin(parser, args):
    """The figures that there are, which must be of the same settings."""
    keys = {key: getattr(args, key) for key in SETTINGS}
    if not args.json or not args.json.exists():
        return {"machine": machine(), "keys": keys, "runs": []}
    figures = json.loads(args.json.read_text(encoding="utf-8"))
    if figures["keys"] != keys:
        parser.error(f"--json: {args.json} has runs of other settings: name another file")
    return figures


def measure(args, figures):
    done = {(run["actors"], run["seed"]) for run in figures["runs"]}
    for seed in range(1, args.seeds + 1):  # the numbers of actors take turns
        for actors in args.actors:
            if (actors, seed) in done:
                continue
            run = train_once(args, actors, seed)
            said = f"{run['time_s']:.2f} s" if run["reached"] else "not reached"
            print(f"  {actors} actors, seed {seed}: {said}, {run['env_steps']:,} env steps, "
                  f"{run['env_steps_per_s']:,.0f} a second", file=sys.stderr)
            figures["runs"].append(run)
            if args.json:
                args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the fleet ends too
    parser = Parser(prog="speedup.py", description=__doc__.splitlines()[0])
    args = parse(parser)
    try:
        if args.markdown:
            show(args, json.loads(args.markdown.read_text(encoding="utf-8")))
            return 0
        fleet.raise_descriptors()
        figures = begin(parser, args)
        measure(args, figures)
        show(args, figures)
    except (Failure, OSError, ValueError) as failure:
        sys.exit(f"speedup.py: {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
