#!/usr/bin/env python3
"""Measures how a fleet scales on this machine: real actors whose step takes a set time, and beside
them simulated ones, straight at a learner and through relays.

    bench/scaling_fleet.py [line] [direct] [relays] [kill] [OPTION...]

    line    --actors real actors, one row each, against the ideal line; then the most of them with
            ever shorter steps, until the line is left, and what is at its limit then
    direct  --fleet actors at one learner, --real of them real
    relays  the same, half of them behind each of two relays
    kill    the same, and one relay is killed with SIGKILL and started again after 3 s

All four when none is named. The learner runs free (updates_per_env_step 0), with one thread of the
trainer. --json keeps the figures; --markdown FILE prints the tables of such a file, and draws the
chart, without measuring. Needs a build (scripts/train.sh makes one).
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import sys
import tempfile
import time

import fleet
import plots
from fleet import Fleet, rate_between
from plots import Panel, Series
from scaling import Failure, Parser, machine, number, table

METRICS_INTERVAL_MS = 100
SETTLE_S = 3.0
OF_IDEAL_MIN = 0.9
STEPS_MS_DOWN = (25, 12.5, 6.25, 3.125, 1.5625)
RELAYS = 2
KILL_AFTER_S, DOWN_S = 8.0, 3.0
BACK_SHARE = 0.95  # of the rate before
RATE_WINDOW_S = 1.0
BUSY = 0.9  # of a processor: then a thread is at its limit
WAITING_MAX = 0.05  # of the actors
LEARNER_FLAGS = ("--env=pendulum", "--updates-per-env-step=0", "--threads=1",
                 "--total-env-steps=1000000000000", "--eval-interval-env-steps=0",
                 f"--metrics-interval-ms={METRICS_INTERVAL_MS}", "--checkpoint-interval-s=86400",
                 "--replay-log-keep=all", "--peers-max=8192", "--peers-per-key-max=8192")
RELAY_FLAGS = ("--peers-max=8192", "--peers-per-key-max=8192")


def say(words):
    print(f"  {words}", file=sys.stderr)


def learner_flags(args):
    return (*LEARNER_FLAGS, *args.learner_flags)


# --- One window -----------------------------------------------------------------------------------


def window(args, running, seconds, actors, step_ms):
    """Lets a fleet that is at work go on, and says what it did meanwhile."""
    before, first_row = running.meter(), len(running.metrics())
    running.pause(seconds)
    rows, used = running.metrics(), before.until(running.meter())
    status = running.status()
    waits = [one["waiting_for"] for one in status["actors"] if one["waiting_for"]]
    rate = rate_between(rows, first_row - 1)
    ideal = actors * 1000 / step_ms
    return {"actors": actors, "step_ms": step_ms, "env_steps_per_s": rate, "ideal": ideal,
            "of_ideal": rate / ideal, "cpu": used, "waiting": len(waits),
            "waiting_for": statistics.mode(waits) if waits else "",
            "learner_mb": fleet.resident_mb(running.pids("learner")[0]), "tcp_mb": fleet.tcp_mb(),
            "publish_interval_ms": status["publish_interval_ms"], "seconds": seconds}


def limit_of(row):
    """Which resource is used up, by the figures; the first that is. The trainer runs free and takes a
    whole processor at any load, so it says nothing."""
    cores = len(os.sched_getaffinity(0))
    cpu = row["cpu"]
    threads = sorted(cpu["learner_threads"].items(), key=lambda one: -one[1])
    trainer = next((name for name, _ in threads if name.startswith(("trainer", "thread"))), None)
    for name, used in threads:
        if name != trainer and used > BUSY:
            return f"the learner's {name}: {used:.2f} of a processor"
    if cpu["machine"] > BUSY * cores:
        rest = cpu["machine"] - sum(cpu["groups"].values())
        parts = ", ".join(f"{name} {used:.2f}" for name, used in [*cpu["groups"].items(),
                                                                   ("all else", rest)])
        return f"the machine's {cores} processors: {cpu['machine']:.2f} in use ({parts})"
    if row["waiting"] > WAITING_MAX * row["actors"]:
        return f"{row['waiting']} actors wait: {row['waiting_for']}"
    return "none of the processors"


# --- Real actors ----------------------------------------------------------------------------------


def measure_point(args, actors, step_ms):
    with tempfile.TemporaryDirectory() as directory, Fleet(args.bin, directory) as running:
        running.start_learner(*learner_flags(args))
        resident_mb = fleet.resident_mb(running.pids("learner")[0])
        began = time.monotonic()
        running.start_actors(actors, "--env=pendulum", f"--env-options=step_ms={step_ms}")
        connect_s = time.monotonic() - began
        running.pause(SETTLE_S)
        row = window(args, running, args.seconds, actors, step_ms)
        pids = running.pids("actor")
        row.update(connect_s=connect_s, learner_mb_alone=resident_mb,
                   actors_mb=fleet.proportional_mb(pids))
    row["limit"] = limit_of(row)
    say(f"{actors} actors, {step_ms:g} ms: {row['env_steps_per_s']:,.0f} of {row['ideal']:,.0f} "
        f"env steps/s ({row['limit']})")
    return row


def measure_line(args):
    rows = [measure_point(args, actors, args.step_ms) for actors in args.actors]
    for step_ms in STEPS_MS_DOWN:
        if step_ms >= args.step_ms:
            continue
        rows.append(measure_point(args, args.actors[-1], step_ms))
        if rows[-1]["of_ideal"] < OF_IDEAL_MIN:
            break
    return rows


# --- Simulated and real ones ----------------------------------------------------------------------


class Site:
    """Where some of the actors dial: the learner itself or a relay."""

    def __init__(self, running, name, endpoint, flags=()):
        self.running, self.name, self.endpoint, self.flags = running, name, endpoint, flags
        self.process = None

    def start_relay(self, again=False):
        before = 0 if not again else self.running.log(self.name).read_text().count("listening on")
        self.process = self.running.start(self.name, "polyak-relay", f"--bind={self.endpoint}",
                                          f"--connect={self.running.endpoint}",
                                          f"--name={self.name}", *RELAY_FLAGS, *self.flags)
        self.running.says(self.name, "listening on", before + 1)


def start_fleets(args, running, sites, seconds):
    """Simulated actors at each site, as many as are missing; waits until all are connected."""
    simulated = (args.fleet - args.real) // len(sites)
    for site in sites:
        running.start("fleet", "polyak", "bench", "fleet", f"--connect={site.endpoint}",
                      "--env=pendulum", f"--peers={simulated}",
                      f"--processes={max(1, args.processes // len(sites))}",
                      f"--step-ms={args.step_ms}", f"--seconds={seconds}",
                      f"--reference={running.endpoint}", "--json", name=f"fleet-{site.name}")
    for site in sites:
        running.says(f"fleet-{site.name}", "are connected after", seconds=180)


def end_fleets(running, sites):
    """Waits for their end; what each says as its last line, and how it ended."""
    processes = running.groups.pop("fleet")
    for process in processes:
        process.wait()
    said = []
    for site, process in zip(sites, processes):
        lines = (running.directory / f"fleet-{site.name}.out").read_text().splitlines()
        if not lines:
            words = running.log(f"fleet-{site.name}").read_text().strip().splitlines()
            raise Failure(f"the fleet at {site.name}: {words[-1] if words else 'without a word'}")
        said.append({**json.loads(lines[-1]), "site": site.name, "exit_code": process.returncode})
    for site in sites:  # a later fleet says "connected" anew
        running.log(f"fleet-{site.name}").unlink()
        (running.directory / f"fleet-{site.name}.out").unlink()
    return said


def actors_said(running):
    """What each real actor's log says at its end: the first bytes of its session, and segments."""
    text = running.log("actor").read_text(errors="replace")
    ends = re.findall(r"session ([0-9a-f]{8}) ends with (\d+) segments acknowledged", text)
    return {word: int(segments) for word, segments in ends}, text.count("did not acknowledge")


def compare_counts(running, fleets):
    """What the actors count as acknowledged, beside what the learner's log has, by session."""
    logged = {one["session"]: [one["segments"], one["env_steps"]]
              for one in running.inspect()["sessions"]}
    real, unacknowledged = actors_said(running)
    sessions = {session: counts for one in fleets for session, counts in one["sessions"].items()}
    differ = sum(logged.get(session, [0, 0]) != counts for session, counts in sessions.items())
    by_word = {session[:8]: counts for session, counts in logged.items()}
    differ += sum(by_word.get(word, [0])[0] != segments for word, segments in real.items())
    simulated_steps = sum(steps for _, steps in sessions.values())
    real_steps = sum(by_word.get(word, [0, 0])[1] for word in real)
    return {"sessions": len(sessions) + len(real), "sessions_that_differ": differ,
            "acked_steps": simulated_steps + real_steps,
            "logged_steps": sum(steps for _, steps in logged.values()),
            "real_actors_with_unacknowledged": unacknowledged,
            "lost_segments": sum(one["lost_segments"] + one["unacked_segments"] for one in fleets),
            "resent_segments": sum(one["resent_segments"] for one in fleets),
            "reconnects": sum(one["reconnects"] for one in fleets)}


def latency_of(fleets):
    """Of the fleets at different sites: the worst of the medians, and so on."""
    keys = ("weights_latency_p50_ms", "weights_latency_p99_ms", "weights_latency_max_ms")
    return {key: max((one[key] for one in fleets if one[key] is not None), default=None)
            for key in keys}


def steady(args, running, sites):
    start_fleets(args, running, sites, args.seconds + 4)
    running.pause(2)
    row = window(args, running, args.seconds, args.fleet, args.step_ms)
    row["relays_mb"] = {site.name: fleet.resident_mb(site.process.pid)
                        for site in sites if site.process}
    fleets = end_fleets(running, sites)
    row.update(latency_of(fleets))
    for key in ("missed", "waited", "fleet_cpu", "connect_s", "bytes_per_step",
                "weights_per_actor_per_s"):
        row[key] = max(one[key] for one in fleets)
    row["segments_per_s"] = (sum(one["segments_per_s"] for one in fleets) * args.fleet
                             / (args.fleet - args.real))
    row["limit"] = limit_of(row)
    return row, fleets


def smooth_rates(rows):
    """(time, env steps/s over a window) of the rows of metrics.csv."""
    points = [(float(row["time_s"]), int(row["env_steps"])) for row in rows]
    rates, first = [], 0
    for now, steps in points:
        while now - points[first][0] > RATE_WINDOW_S:
            first += 1
        if now > points[first][0]:
            rates.append((now, (steps - points[first][1]) / (now - points[first][0])))
    return rates


def kill_relay(args, running, sites):
    """SIGKILL for the first relay in the midst of it; how long until the rate is back."""
    back_s = max(20.0, args.seconds)
    start_fleets(args, running, sites, KILL_AFTER_S + DOWN_S + back_s)
    running.pause(KILL_AFTER_S)
    rates = smooth_rates(running.metrics())
    killed_at, before = rates[-1][0], statistics.median(rate for _, rate in rates[-40:])
    running.groups[sites[0].name].remove(sites[0].process)
    sites[0].process.send_signal(signal.SIGKILL)
    sites[0].process.wait()
    say(f"{sites[0].name} is killed at {before:,.0f} env steps/s")
    running.pause(DOWN_S)
    restarted_at = float(running.metrics()[-1]["time_s"])
    sites[0].start_relay(again=True)
    fleets = end_fleets(running, sites)
    after = [(at, rate) for at, rate in smooth_rates(running.metrics()) if at > killed_at]
    back = next((at for at, rate in after if at > restarted_at and rate >= BACK_SHARE * before), None)
    return {"rate_before": before, "rate_least": min(rate for _, rate in after[:300]),
            "back_after_kill_s": back and back - killed_at,
            "back_after_restart_s": back and back - restarted_at,
            "exit_codes": [one["exit_code"] for one in fleets]}, fleets


def start_site_actors(args, running, sites):
    for site in sites:
        running.start_actors(args.real // len(sites), "--env=pendulum",
                             f"--env-options=step_ms={args.step_ms:g}", connect=site.endpoint,
                             name=site.name)


def run_fleet(args, num_relays, kill):
    with tempfile.TemporaryDirectory() as directory, Fleet(args.bin, directory) as running:
        running.start_learner(*learner_flags(args))
        alone_mb, alone_tcp_mb = fleet.resident_mb(running.pids("learner")[0]), fleet.tcp_mb()
        sites = [Site(running, "direct", running.endpoint)]
        if num_relays:
            sites = [Site(running, f"relay{i + 1}", fleet.free_endpoint(), args.relay_flags)
                     for i in range(num_relays)]
            for site in sites:
                site.start_relay()
        relays_alone = {site.name: fleet.resident_mb(site.process.pid)
                        for site in sites if site.process}
        start_site_actors(args, running, sites)
        row, fleets = kill_relay(args, running, sites) if kill else steady(args, running, sites)
        running.stop("actor")
        row.update(learner_mb_alone=alone_mb, tcp_mb_alone=alone_tcp_mb, relays=num_relays,
                   relays_mb_alone=relays_alone, fleet=args.fleet, real=args.real)
        for site in sites:
            running.stop(site.name)
        running.stop("learner")
        row["counts"] = compare_counts(running, fleets)
    say(json.dumps({key: row[key] for key in row if key not in ("cpu",)}))
    return row


# --- Tables ---------------------------------------------------------------------------------------


def percent(value):
    return "" if value is None else f"{100 * value:.1f} %"


def ms(value):
    return "" if value is None else f"{value:.1f}"


def table_of_line(rows):
    table("Real actors against the ideal line",
          ("actors", "step ms", "env steps/s", "ideal", "of ideal", "learner CPU", "of that, loop",
           "actors CPU", "machine CPU", "learner MB", "actors MB (PSS)", "limit"),
          [(row["actors"], f"{row['step_ms']:g}", number(row["env_steps_per_s"]),
            number(row["ideal"]), percent(row["of_ideal"]),
            f"{row['cpu']['groups']['learner']:.2f}",
            f"{row['cpu']['learner_threads'].get('loop', 0):.2f}",
            f"{row['cpu']['groups']['actor']:.2f}", f"{row['cpu']['machine']:.2f}",
            number(row["learner_mb"]), number(row["actors_mb"]),
            row["limit"] if row["of_ideal"] < OF_IDEAL_MIN else "") for row in rows])


def table_of_fleets(rows):
    def learner_kb(row):
        return (row["learner_mb"] - row["learner_mb_alone"]) * 1024 / row["fleet"]

    def relay_kb(row):
        grown = [row["relays_mb"][name] - row["relays_mb_alone"][name] for name in row["relays_mb"]]
        return f"{sum(grown) * 1024 / row['fleet']:.0f}" if grown else ""

    table("A fleet of many, straight at the learner and through relays",
          ("relays", "actors", "of these real", "env steps/s", "of ideal", "weights p50 ms",
           "p99 ms", "interval ms", "learner MB", "KB per actor", "relays MB", "KB per actor",
           "TCP MB", "learner CPU", "relays CPU", "counts that differ"),
          [(row["relays"], row["fleet"], row["real"], number(row["env_steps_per_s"]),
            percent(row["of_ideal"]), ms(row["weights_latency_p50_ms"]),
            ms(row["weights_latency_p99_ms"]), row["publish_interval_ms"],
            number(row["learner_mb"]), f"{learner_kb(row):.0f}",
            number(sum(row["relays_mb"].values())) if row["relays_mb"] else "", relay_kb(row),
            number(row["tcp_mb"]), f"{row['cpu']['groups']['learner']:.2f}",
            f"{sum(used for name, used in row['cpu']['groups'].items() if 'relay' in name):.2f}",
            row["counts"]["sessions_that_differ"]) for row in rows])


def table_of_kill(row):
    counts = row["counts"]
    table("A relay killed with SIGKILL, and started again after 3 s",
          ("what", "figure"),
          [("env steps/s before", number(row["rate_before"])),
           ("least env steps/s over a second", number(row["rate_least"])),
           (f"{100 * BACK_SHARE:.0f} % of it again, after the kill",
            f"{row['back_after_kill_s']:.1f} s" if row["back_after_kill_s"] else "not"),
           ("the same, after the start",
            f"{row['back_after_restart_s']:.1f} s" if row["back_after_restart_s"] else "not"),
           ("connections made again; segments sent again",
            f"{counts['reconnects']:,}; {counts['resent_segments']:,}"),
           ("steps acknowledged at the actors; in the learner's log",
            f"{counts['acked_steps']:,}; {counts['logged_steps']:,}"),
           ("sessions; of these, that differ",
            f"{counts['sessions']:,}; {counts['sessions_that_differ']}"),
           ("segments lost", counts["lost_segments"])])


def chart(args, rows):
    same = [row for row in rows if row["step_ms"] == rows[0]["step_ms"]]
    if len(same) < 2:
        return
    plots.write(args.plots / "fleet.svg", [
        Panel(f"Real actors with a step of {rows[0]['step_ms']:g} ms", "actors",
              "env steps per second",
              [Series("measured", [(row["actors"], row["env_steps_per_s"]) for row in same]),
               Series("ideal", [(row["actors"], row["ideal"]) for row in same])])])


def show(args, figures):
    here = figures["machine"]
    print(f"Machine: {here['cpu']}, {here['threads']} threads may be used; load average before: "
          f"{here['load']:.1f}.")
    if "line" in figures:
        table_of_line(figures["line"])
        chart(args, figures["line"])
    fleets = [figures[name] for name in ("direct", "relays") if name in figures]
    if fleets:
        table_of_fleets(fleets)
    if "kill" in figures:
        table_of_kill(figures["kill"])


# --- Command line ---------------------------------------------------------------------------------


MEASUREMENTS = {"line": measure_line,
                "direct": lambda args: run_fleet(args, 0, False),
                "relays": lambda args: run_fleet(args, RELAYS, False),
                "kill": lambda args: run_fleet(args, RELAYS, True)}


def parse(parser):
    add = parser.add_argument
    add("what", nargs="*", metavar="WHAT",
        help=f"{', '.join(MEASUREMENTS)}; all when none is named")
    add("--bin", type=pathlib.Path, default=pathlib.Path("build/bin"),
        help="directory of the programs (default build/bin)")
    add("--seconds", type=float, default=20, help="of each window (default 20)")
    add("--step-ms", type=float, default=50, help="time of an env step (default 50)")
    add("--actors", default="1,8,64,512", help="of line (default 1,8,64,512)")
    add("--fleet", type=int, default=2000, help="actors of the others (default 2000)")
    add("--real", type=int, default=64, help="of these, real processes (default 64)")
    add("--processes", type=int, default=4, help="that simulate the rest (default 4)")
    add("--learner-flags", default="", help="more flags of the learner, separated by spaces")
    add("--relay-flags", default="", help="the same of the relays")
    add("--plots", type=pathlib.Path, default=pathlib.Path("docs/plots"), metavar="DIR",
        help="where the chart goes (default docs/plots)")
    add("--json", type=pathlib.Path, metavar="FILE",
        help="keep the figures; what FILE has of other measurements stays")
    add("--markdown", type=pathlib.Path, metavar="FILE", help="print the tables of such a file")
    args = parser.parse_args()
    if args.markdown and not args.markdown.is_file():
        parser.error(f"--markdown: there is no file {args.markdown}")
    args.learner_flags = args.learner_flags.split()
    args.relay_flags = args.relay_flags.split()
    try:
        args.actors = sorted({int(word) for word in args.actors.split(",")})
    except ValueError:
        parser.error("--actors is a list of numbers, such as 1,8,64")
    for word in args.what:
        if word not in MEASUREMENTS:
            parser.error(f"'{word}' is not measured here; {', '.join(MEASUREMENTS)} are")
    if args.actors[0] < 1 or args.seconds < 2 or args.step_ms <= 0:
        parser.error("--actors are at least 1, --seconds at least 2, --step-ms above 0")
    if not RELAYS <= args.real < args.fleet - RELAYS or args.processes < 1:
        parser.error("--real is at least 2 and less than --fleet, --processes at least 1")
    return args


def check(parser, args):
    for name in ("polyak", "polyak-learner", "polyak-actor", "polyak-relay"):
        if not os.access(args.bin / name, os.X_OK):
            parser.error(f"{args.bin / name} is not there: build it (scripts/train.sh), or name "
                         "the directory of the programs with --bin")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no directory {args.json.parent}")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the fleet ends too
    parser = Parser(prog="scaling_fleet.py", description=__doc__.splitlines()[0])
    args = parse(parser)
    try:
        if args.markdown:
            show(args, json.loads(args.markdown.read_text(encoding="utf-8")))
            return 0
        check(parser, args)
        fleet.raise_descriptors()
        known = args.json and args.json.exists()
        figures = json.loads(args.json.read_text(encoding="utf-8")) if known else {}
        figures["machine"] = machine()
        for name in args.what or MEASUREMENTS:
            figures[name] = MEASUREMENTS[name](args)
            if args.json:
                args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        show(args, figures)
    except (Failure, OSError, ValueError) as failure:
        sys.exit(f"scaling_fleet.py: {failure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
