#!/usr/bin/env python3
"""Measures which share of the trainer's working time is outside its updates.

    bench/trainer_share.py [--polyak build/bin/polyak] [--hidden 256,256] [--batch 256]
                           [--updates 3000]

A run of `polyak train` with one actor, one update per env step, and the environment bench/busy.c
(obs_dim 17, act_dim 6). The learner's metrics.csv says how the trainer's time was spent; working is
all but waiting for steps. What comes before the first update is left out. Needs a C compiler, and a
build (scripts/train.sh makes one).
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent / "busy.c"
WARMUP_ENV_STEPS = 1000
RUN_S_MAX = 600
PARTS = ("updating", "sampling", "ingesting", "publishing", "other")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def run(*command):
    """Runs a command to its end; its last line when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=RUN_S_MAX)
    if done.returncode == 2:
        sys.stderr.write(done.stderr)
        sys.exit(2)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise OSError(f"{command[0]}: {said[-1] if said else f'exit code {done.returncode}'}")


def train(args, directory):
    """The rows of metrics.csv of one run."""
    plugin = directory / "busy.so"
    run("cc", "-O2", "-shared", "-fPIC", f"-I{SOURCE.parent.parent}", "-o", plugin, SOURCE)
    run(args.polyak, "train", "--env", plugin, "--actors", "1", "--hidden", args.hidden, "--batch",
        str(args.batch), "--warmup-env-steps", str(WARMUP_ENV_STEPS), "--total-env-steps",
        str(WARMUP_ENV_STEPS + args.updates), "--eval-interval-env-steps", "0",
        "--metrics-interval-ms", "200", "--run-dir", directory / "run")
    with open(directory / "run" / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def seconds(rows):
    """Seconds of each part, and of waiting, in the rows from the second with updates on: the first
    one begins in the warm-up."""
    spent = dict.fromkeys((*PARTS, "waiting"), 0.0)
    before = None
    for row in rows:
        if before is not None and int(before["updates"]) > 0:
            passed = float(row["time_s"]) - float(before["time_s"])
            for part in spent:
                spent[part] += passed * float(row[f"{part}_share"] or 0)
        before = row
    return spent


def main():
    parser = Parser(prog="trainer_share.py", description=__doc__.splitlines()[0])
    parser.add_argument("--polyak", type=pathlib.Path, default=pathlib.Path("build/bin/polyak"),
                        help="the program (default build/bin/polyak)")
    parser.add_argument("--hidden", default="256,256", help="widths (default 256,256)")
    parser.add_argument("--batch", type=int, default=256, help="transitions (default 256)")
    parser.add_argument("--updates", type=int, default=3000, help="to do (default 3000)")
    args = parser.parse_args()
    if not args.polyak.is_file():
        parser.error(f"there is no program {args.polyak}: build it (scripts/train.sh), or name it "
                     "with --polyak")
    if args.updates < 100:
        parser.error("--updates: at least 100")
    args.polyak = args.polyak.absolute()
    try:
        with tempfile.TemporaryDirectory() as directory:
            spent = seconds(train(args, pathlib.Path(directory)))
    except (OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"trainer_share.py: {failure}")
    working = sum(spent[part] for part in PARTS)
    if working == 0:
        sys.exit("trainer_share.py: the run was too short for its metrics")
    print(f"hidden {args.hidden}, batch {args.batch}: {working:.1f} s of work, "
          f"{spent['waiting']:.1f} s of waiting for steps\n")
    print("| part | share of the working time |\n|---|---|")
    for part in PARTS:
        print(f"| {part} | {100 * spent[part] / working:.2f} % |")
    print(f"| all but updating | {100 * (1 - spent['updating'] / working):.2f} % |")
    return 0


sys.exit(main())
