"""A fleet on two sites, 20 ms from its learner, one of them behind a relay. See sites.py.

    sites_test.py                           short, as in CI: a partition, a relay that is killed
    sites_test.py --partition 20            the same with pendulum and its preset, and the times
    sites_test.py --seeds 1,2,3             pendulum, against `polyak train` with as many actors
    sites_test.py --rates                   what a delay does to rates and to the policy's age
    sites_test.py --rates --window 8192     the same where both sides run free, with this window
                                            (0: the one that the learner makes)
    … --delay 50                            another delay, each way
    … --direct                              with a router in the relay's place

The long forms print tables; --seeds and --rates want a machine of their own.
"""

import argparse
import json
import statistics
import sys
import time
import unittest

from harness import SLOW, SMALL, main, wait_until
from sites import BEHIND_RELAY, DELAY_MS, DIRECT, ROUTER, Sites

HEARTBEAT_MS = 400
OUT_S = 3  # of the short form: more than three heartbeats
ALWAYS = "--total-env-steps=100000000"  # until it is told when to end:
LAST_STEPS = 5000
PENDULUM_STEPS = 10000  # the preset's own
EPISODES = 1000
FRESH_SEED = 1000  # no run trains or evaluates with it
LONG_STEPS = 100000
RATE_S = 8  # of a run whose environments take their time:
STEPS_MS = (5, 1, 0.5, 0.25)
FREE_STEPS = 1000000
PENDULUM = ["--env=pendulum", "--eval-interval-env-steps=0", "--metrics-interval-ms=100"]


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--partition", type=float)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")])
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--window", type=int)
    parser.add_argument("--delay", type=float, default=DELAY_MS)
    parser.add_argument("--direct", action="store_true")
    known, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return known


options = read_options()
short = not (options.partition or options.seeds or options.rates)


def mean(rows, column):
    values = [float(row[column]) for row in rows if row[column]]
    return statistics.fmean(values) if values else float("nan")


class Far(Sites):
    def setUp(self):
        self.relayed = not options.direct
        self.delay_ms = options.delay
        super().setUp()


class Trouble(Far):
    def counts(self):
        return {actor["name"]: actor for actor in self.status()["actors"]}

    def steps_of(self, hosts):
        """Env steps that the run has of these hosts."""
        return sum(actor["env_steps"] for name, actor in self.counts().items() if name in hosts)

    def grow(self, hosts, what):
        """Waits until steps of these hosts come in. After how long."""
        began, before = time.monotonic(), self.steps_of(hosts)
        wait_until(lambda: self.steps_of(hosts) > before, what)
        return time.monotonic() - began

    def partition(self, seconds):
        """Site B is cut off for a while; site A goes on. Until when both noticed, and it was back."""
        self.hosts.forward(ROUTER, False)
        began = time.monotonic()
        for host in DIRECT:
            wait_until(lambda host=host: f"actor {host} is lost" in self.far_learner.log,
                       f"the learner misses {host}")
            self.actors[host].says("the learner is lost")
        noticed = time.monotonic() - began
        self.grow(BEHIND_RELAY, "steps of the other site")
        time.sleep(max(0, began + seconds - time.monotonic()))
        self.hosts.forward(ROUTER, True)
        return noticed, self.back(DIRECT)

    def back(self, hosts):
        """Waits until these hosts are there again, with new steps. After how long."""
        began = time.monotonic()
        wait_until(lambda: set(hosts) <= set(self.counts()), "that they are connected")
        self.grow(hosts, "their steps")
        return time.monotonic() - began

    def replace_relay(self):
        """The relay is killed, and another one started in its place."""
        self.relays[-1].kill()
        self.relays[-1].end()
        began = time.monotonic()
        self.start_relay()
        for host in BEHIND_RELAY:
            wait_until(lambda host=host: self.actors[host].log.count("connected to") > 1,
                       f"{host} is connected again")
        self.back(BEHIND_RELAY)
        return time.monotonic() - began

    def trouble(self, seconds):
        wait_until(lambda: len(self.counts()) == len(self.actors), "all four")
        self.assertGreater(self.round_trip_ms("b1"), 2 * self.delay_ms)
        noticed, back = self.partition(seconds)
        print(f"partition of {seconds:g} s: noticed on both sides after {noticed:.2f} s, steps "
              f"again {back:.2f} s after its end")
        if self.relayed:
            print(f"relay killed and started again: steps of its actors after "
                  f"{self.replace_relay():.2f} s")

    def ends_at(self, env_steps):
        said = self.finish("polyak", "set", f"total_env_steps={env_steps}",
                           f"--connect={self.endpoint}", *self.asking)
        self.assertEqual(said.end(), 0)
        self.ends_in_order()

    def hold(self, learner_args, actor_args, seconds, warmup):
        self.start_fleet([*learner_args, ALWAYS, "--replay-log-keep=all"], actor_args)
        self.trouble(seconds)
        env_steps = self.status()["env_steps"] + LAST_STEPS
        self.ends_at(env_steps)
        self.assert_done(env_steps, updates=env_steps - warmup)
        self.assert_nothing_is_lost(env_steps)
        return env_steps

    @unittest.skipUnless(short, "not asked for")
    def test_a_partition_and_a_killed_relay_lose_nothing(self):
        self.hold([*SLOW, *SMALL, f"--heartbeat-interval-ms={HEARTBEAT_MS}"], SLOW, OUT_S, 500)

    @unittest.skipUnless(options.partition, "not asked for")
    def test_the_same_with_pendulum(self):
        env_steps = self.hold(PENDULUM, PENDULUM[:1], options.partition, 1000)
        score = self.evaluate(f"--seed={FRESH_SEED}", episodes=EPISODES)
        print(f"{env_steps:,} env steps, {score['updates']:,} updates, "
              f"return {score['return_mean']:.1f}")


class Measure(Far):
    def far(self, run, *args, env=()):
        """A run of the fleet on two sites, from the learner's start to its end. Its time."""
        began = time.monotonic()
        self.start_fleet([*PENDULUM, *env, *args], [*PENDULUM[:1], *env], run=run)
        self.far_learner.end()
        wall_s = time.monotonic() - began
        self.ends_in_order()
        return wall_s

    def near(self, run, *args, env=()):
        trained = self.finish("polyak", "train", *PENDULUM, "--actors=4", f"--run-dir={run}",
                              "--json", *env, *args)
        self.assertEqual(trained.end(), 0)
        return json.loads(trained.out)["wall_s"]

    def score(self, run):
        return self.evaluate(f"--seed={FRESH_SEED}", run=run, episodes=EPISODES)

    def training(self, run):
        """The rows of metrics.csv with updates in each of them."""
        return [row for row in self.metrics(run) if row["critic_loss"]][1:-1]

    @unittest.skipUnless(options.seeds, "not asked for")
    def test_seeds(self):
        print("\n| seed | where | env steps | updates | wall s | policy lag, updates | return | ± |"
              "\n|---|---|---|---|---|---|---|---|")
        for seed in options.seeds:
            for where, train in (("one machine", self.near), ("two sites", self.far)):
                run = f"{where.replace(' ', '-')}-{seed}"
                wall_s = train(run, f"--seed={seed}", f"--total-env-steps={PENDULUM_STEPS}")
                score = self.score(run)
                lag = mean(self.training(run), "policy_lag_updates")
                print(f"| {seed} | {where} | {score['env_steps']:,} | {score['updates']:,} | "
                      f"{wall_s:.1f} | {lag:.0f} | {score['return_mean']:.1f} | "
                      f"{score['return_std']:.1f} |", flush=True)
                self.assertEqual(score["env_steps"], PENDULUM_STEPS)

    def row(self, name, where, run, ideal):
        rows = self.training(run)
        span_s = float(rows[-1]["time_s"]) - float(rows[0]["time_s"])
        rate = (int(rows[-1]["env_steps"]) - int(rows[0]["env_steps"])) / span_s
        share = f"{rate / ideal:.2f}" if ideal else "–"
        print(f"| {name} | {where} | {rate:,.0f} | {share} | {mean(rows, 'updates_per_s'):,.0f} | "
              f"{mean(rows, 'waiting_share'):.2f} | {mean(rows, 'policy_lag_updates'):,.0f} | {mean(rows, 'policy_lag_versions'):.1f} |",
              flush=True)

    @unittest.skipUnless(options.rates, "not asked for")
    def test_rates(self):
        far = f"{2 * self.delay_ms:g} ms round trip"
        print("\n| environment's step | where | env steps/s | of what the environments could do | "
              "updates/s | the learner waits | policy lag, updates | versions |\n"
              "|---|---|---|---|---|---|---|---|")
        runs = [("none, 1 update for each", 0, [f"--total-env-steps={LONG_STEPS}"])]
        runs += [(f"{ms:g} ms, 0.1 updates for each", ms,
                  ["--updates-per-env-step=0.1", f"--total-env-steps={RATE_S * 4000 / ms:.0f}"])
                 for ms in STEPS_MS]
        free = [(f"none, both sides free, segments of {steps}", 0,
                 ["--updates-per-env-step=0", f"--segment-steps={steps}",
                  f"--total-env-steps={FREE_STEPS}"]) for steps in (64, 256)]
        if options.window is None:
            runs += free
        else:
            runs = [(f"{name}, window {options.window or 'as it is made'}", step_ms,
                     [*args, f"--pacing-window-env-steps={options.window}"])
                    for name, step_ms, args in free]
        for name, step_ms, args in runs:
            env = [f"--env-options=step_ms={step_ms}"] if step_ms else []
            for where, train in (("one machine", self.near), (far, self.far)):
                run = f"{len(self.programs)}"
                train(run, *args, "--threads=1", env=env)
                self.row(name, where, run, 4000 / step_ms if step_ms else 0)


main()
