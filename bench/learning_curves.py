#!/usr/bin/env python3
"""Draws how runs learned: the returns of their evaluations without noise, over env steps.

    bench/learning_curves.py --title HalfCheetah-v5 --output docs/plots/halfcheetah.svg RUN_DIR...

Reads metrics.csv of each run directory, and prints a table with one column for each run: the return
at the evaluation that came last before each of ten equal parts of the run was over, and the best.
"""

import argparse
import csv
import pathlib
import sys

import plots

PARTS = 10


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def read_curve(run_dir):
    """(env steps, return) of each evaluation."""
    path = run_dir / "metrics.csv"
    try:
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        sys.exit(f"learning_curves.py: {path}: {error.strerror}")
    curve = [(float(row["env_steps"]), float(row["eval_return"]))
             for row in rows if row["eval_return"]]
    if not curve:
        sys.exit(f"learning_curves.py: {path} has no evaluations")
    return curve


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def print_table(names, curves):
    last = max(curve[-1][0] for curve in curves)
    print("| env steps | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for part in range(1, PARTS + 1):
        until = last * part / PARTS
        returns = [[y for x, y in curve if x <= until * 1.001] for curve in curves]
        cells = [number(ys[-1]) if ys else "" for ys in returns]
        print(f"| {until:,.0f} | " + " | ".join(cells) + " |")
    print("| best | " + " | ".join(number(max(y for _, y in curve)) for curve in curves) + " |")


def main():
    parser = Parser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--title", required=True)
    parser.add_argument("--output", type=pathlib.Path, help="an SVG file")
    parser.add_argument("--names", help="of the runs, separated by commas (seed 1,seed 2,…)")
    parser.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    names = (args.names.split(",") if args.names
             else [f"seed {i + 1}" for i in range(len(args.run_dirs))])
    if len(names) != len(args.run_dirs):
        parser.error(f"{len(names)} names for {len(args.run_dirs)} runs")
    curves = [read_curve(run_dir) for run_dir in args.run_dirs]
    print_table(names, curves)
    if args.output:
        series = [plots.Series(name, curve) for name, curve in zip(names, curves)]
        plots.write(args.output, [plots.Panel(args.title, "env steps", "return without noise",
                                              series, y_log=False, x_log=False)])


if __name__ == "__main__":
    main()
