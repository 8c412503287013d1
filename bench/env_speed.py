#!/usr/bin/env python3
"""Compares how fast a MuJoCo task runs in an actor with what others do with it, on one core.

    bench/env_speed.py [--env HalfCheetah-v5] [--seconds 3] [--rounds 5] [--json FILE]

Four ways take turns, so that a busy machine is busy for all of them:

    python    a Python loop over gymnasium.make(ENV) with random actions and no policy
    mj_step   a bare loop of mj_step in C with the same frame skip (bench/mj_step.c)
    actor     `polyak bench env --env mujoco:ENV`: a whole actor with a policy, noise and sending,
              once with 64-64 units and one environment, once with 256-256 and four
    bridge    the same with `gymnasium:ENV` and eight environments

A figure is steps per second of processor time of all processes that do the work: the actor with all
its threads, and for the bridge its Python worker. That is what one core gives. The table shows
steps per second of the clock, too; there the actor has a learner to talk to on the same machine.
The median of the rounds counts, and so does the median of the ratios of each round.

Needs `scripts/setup.sh --mujoco` and a build.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

PYTHON_LOOP = """
import json, sys, time, gymnasium
env = gymnasium.make(sys.argv[1])
space = env.action_space
env.reset(seed=1)
steps, began, cpu = 0, time.perf_counter(), time.process_time()
while (wall := time.perf_counter() - began) < float(sys.argv[2]):
    for _ in range(200):
        _, _, terminated, truncated, _ = env.step(space.sample())
        if terminated or truncated:
            env.reset()
    steps += 200
print(json.dumps({"steps_per_s": steps / wall,
                  "steps_per_cpu_s": steps / (time.process_time() - cpu)}))
"""

FACTS = """
import json, sys, gymnasium
env = gymnasium.make(sys.argv[1]).unwrapped
import mujoco
print(json.dumps({"model": env.fullpath, "frame_skip": env.frame_skip,
                  "mujoco": mujoco.__version__, "gymnasium": gymnasium.__version__}))
"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


class Failure(Exception):
    pass


def output_of(command):
    """The last line of stdout, which is JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        words = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise Failure(f"{' '.join(map(str, command[:4]))} …: {words}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def actor(args, env, hidden, num_envs):
    report = output_of([args.bin / "polyak", "bench", "env", "--env", env, "--python", args.python,
                        "--hidden", hidden, "--envs-per-actor", str(num_envs),
                        "--seconds", str(args.seconds), "--json"])
    return {"steps_per_s": report["actor_steps_per_s"],
            "steps_per_cpu_s": report["actor_steps_per_cpu_s"]}


def ways_of(args, facts):
    """Name, and what measures it, which is called once a round."""
    one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    seconds = str(args.seconds)
    return {
        "python": lambda: output_of([*one_core, args.python, "-c", PYTHON_LOOP, args.env, seconds]),
        "mj_step": lambda: output_of([*one_core, args.mj_step, seconds, facts["model"],
                                      str(facts["frame_skip"])]),
        "actor 64-64, 1 env": lambda: actor(args, f"mujoco:{args.env}", "64,64", 1),
        "actor 256-256, 4 envs": lambda: actor(args, f"mujoco:{args.env}", "256,256", 4),
        "bridge 64-64, 8 envs": lambda: actor(args, f"gymnasium:{args.env}", "64,64", 8),
    }


def measure(args, ways):
    """By way: one report a round."""
    reports = {name: [] for name in ways}
    for round_number in range(args.rounds):
        for name, way in ways.items():
            reports[name].append(way())
        print(f"round {round_number + 1} of {args.rounds}", file=sys.stderr)
    return reports


def ratio(reports, name, to):
    return statistics.median(a["steps_per_cpu_s"] / b["steps_per_cpu_s"]
                             for a, b in zip(reports[name], reports[to]))


def table(reports):
    figures = {}
    print("| | steps per s of a core | least | most | steps/s | × python | × mj_step |")
    print("|---|---|---|---|---|---|---|")
    for name, rounds in reports.items():
        cpu = [report["steps_per_cpu_s"] for report in rounds]
        wall = statistics.median(report["steps_per_s"] for report in rounds)
        figures[name] = {"steps_per_cpu_s": statistics.median(cpu), "steps_per_s": wall,
                         "to_python": ratio(reports, name, "python"),
                         "to_mj_step": ratio(reports, name, "mj_step")}
        print(f"| {name} | {statistics.median(cpu):,.0f} | {min(cpu):,.0f} | {max(cpu):,.0f} | "
              f"{wall:,.0f} | {figures[name]['to_python']:.2f} | "
              f"{figures[name]['to_mj_step']:.2f} |")
    return figures


def arguments():
    parser = Parser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--env", default="HalfCheetah-v5", help="a MuJoCo task (HalfCheetah-v5)")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/bin")
    parser.add_argument("--mj-step", type=pathlib.Path, default=ROOT / "build/bench/mj_step")
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"))
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement (3)")
    parser.add_argument("--rounds", type=int, default=5, help="of all ways (5)")
    parser.add_argument("--json", type=pathlib.Path, help="a file for the figures")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    for program in (args.bin / "polyak", args.mj_step, pathlib.Path(args.python)):
        if not program.exists():
            parser.error(f"{program} is not there: run scripts/setup.sh --mujoco and "
                         "scripts/build.sh release")
    return args


def main():
    args = arguments()
    try:
        facts = output_of([args.python, "-c", FACTS, args.env])
        print(f"{args.env}, MuJoCo {facts['mujoco']}, Gymnasium {facts['gymnasium']}, "
              f"frame skip {facts['frame_skip']}\n", flush=True)
        reports = measure(args, ways_of(args, facts))
    except Failure as failure:
        sys.exit(f"env_speed.py: {failure}")
    figures = table(reports)
    if args.json:
        args.json.write_text(json.dumps({"facts": facts, "figures": figures, "rounds": reports}))


if __name__ == "__main__":
    main()
