"""deploy/slurm on a real Slurm: trains, survives kills and requeues, ends as it says.

    slurm_test.py                        in seconds, as in CI
    slurm_test.py --total-env-steps N    longer
"""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

from harness import BIN, SKIPPED, EndToEnd, is_running, main, wait_until
from slurm_cluster import CPUS, Cluster, missing

SOURCE = os.environ["POLYAK_SOURCE_DIR"]
SLURM = os.path.join(SOURCE, "deploy", "slurm")
RETURN_MIN = -300  # without training about -1,200, learned -150
STEP_MS = 2.0  # so that there is a middle


class Slurm(EndToEnd):
    cluster = None

    def setUp(self):
        super().setUp()
        self.environment["POLYAK_BIN"] = BIN
        self.cluster = Cluster(self.directory, self.environment)
        self.cluster.wait_until_up()

    def _kill_all(self):
        super()._kill_all()
        if not self.cluster:
            return
        self.cluster.stop()
        self.stories += [self.read(name) for name in sorted(os.listdir(self.directory))
                         if name.startswith("polyak-") and name.endswith(".log")]
        self.stories.append(self.cluster.logs())

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def submit(self, *args, **environment):
        """Submits by polyak-slurm, into the run directory `run`; the job's id."""
        done = self.cluster.run(os.path.join(SLURM, "polyak-slurm"), "--run-dir=run", *args,
                                **environment)
        return int(re.match(r"job (\d+): ", done.stdout).group(1))

    def log_says(self, job, text, times=1):
        wait_until(lambda: self.read(f"polyak-{job}.log").count(text) >= times,
                   f'the log has {times} times "{text}"')

    def reaches(self, env_steps, run="run"):
        def reached():
            rows = self.metrics(run)
            return rows and int(rows[-1]["env_steps"]) >= env_steps
        wait_until(reached, f"{env_steps} env steps")

    def actors(self):
        """Process ids of the actors that run, by name."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                    args = file.read().split("\0")
            except OSError:
                continue
            if os.path.basename(args[0]) == "polyak-actor" and f"@{self.path('run/address')}" in args:
                found[args[args.index("--name") + 1]] = int(pid)
        return found

    def connected(self):
        """Names of the actors that the learner knows, asked for as the page says."""
        status = self.cluster.run(os.path.join(BIN, "polyak"), "status", "--json",
                                  f"--connect=@{self.path('run/address')}",
                                  f"--key={self.path('run/keys/you.key')}",
                                  f"--learner-key={self.path('run/keys/learner.pub')}", check=False)
        if status.returncode != 0:
            return set()
        return {actor["name"] for actor in json.loads(status.stdout.splitlines()[-1])["actors"]
                if actor.get("connected", True)}

    def assert_mode(self, name, mode):
        self.assertEqual(stat.S_IMODE(os.stat(self.path(name)).st_mode), mode, name)

    def assert_trained(self, job, env_steps):
        self.cluster.is_in(job, "COMPLETED")
        self.assertEqual(self.cluster.field(job, "ExitCode"), "0:0")
        inspected = self.finish("polyak", "inspect", "--run-dir=run", "--json")
        self.assertEqual(inspected.end(), 0)
        found = json.loads(inspected.out.splitlines()[-1])
        self.assertEqual((found["env_steps"], found["gap_segments"], found["missing_segments"],
                          found["damage"]), (env_steps, 0, 0, []))
        self.assertEqual(sum(session["missing_sequences"] for session in found["sessions"]), 0)
        result = self.evaluate("--env-options=step_ms=0", episodes=20)
        self.assertEqual(result["env_steps"], env_steps)
        self.assertGreater(result["return_mean"], RETURN_MIN)
        return result

    # --- One job

    def test_trains_through_kills_and_requeues(self):
        total = TOTAL or 8000
        names = {"n1/0.0", "n2/0.0", "n2/1.0", "n2/2.0"}
        job = self.submit("--env=pendulum", f"--env-options=step_ms={STEP_MS}", "--actors=4",
                          "--nodes=2", "--learner-cpus=1", "--", f"--total-env-steps={total}",
                          "--metrics-interval-ms=100", "--heartbeat-interval-ms=300",
                          "--eval-interval-env-steps=4000", "--eval-episodes=2",
                          POLYAK_REQUEUE_AFTER_S="0")
        self.reaches(500)
        wait_until(lambda: self.connected() == names, f"{names} are connected")
        self.assert_mode("run/keys", 0o700)
        self.assert_mode("run/keys/learner.key", 0o600)
        self.assert_mode("run/keys/fleet.key", 0o600)
        self.assertEqual(sorted(os.listdir(self.path("run/keys/allowed"))), ["fleet.pub", "you.pub"])

        victim = self.actors()["n2/1.0"]  # one process
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_running(victim), "it is dead")
        self.log_says(job, "n2/1.0: connected to", 2)

        step = self.cluster.steps(job)["actors-n2"]  # all of a node
        self.cluster.run("scancel", "--signal=KILL", step)
        wait_until(lambda: self.cluster.steps(job).get("actors-n2", step) != step, "a new step")
        self.log_says(job, "n2/1.0: connected to", 3)

        self.cluster.run("scontrol", "requeue", str(job))
        self.cluster.start_again(job)
        self.log_says(job, "resumed at", 1)
        at = [int(steps) for steps in
              re.findall(r"stopped at (\d+) env steps", self.read(f"polyak-{job}.log"))]
        self.assertEqual(len(at), 1, "the learner did not save when the job was requeued")
        self.assertIn(f"resumed at {at[0]} env steps", self.read(f"polyak-{job}.log"))
        self.reaches(at[0] + 500)

        # What `#SBATCH --signal` does near the time limit. The job requeues itself.
        self.cluster.run("scancel", "--batch", "--signal=USR1", str(job))
        self.log_says(job, "the time is over")
        self.cluster.start_again(job)
        self.log_says(job, "resumed at", 2)
        result = self.assert_trained(job, total)
        self.assertEqual(self.cluster.field(job, "Restarts"), "2")
        print(f"job {job}: {total} env steps, stopped at {at}, return {result['return_mean']:.1f}")

    def test_cancelled_and_failed(self):
        job = self.submit("--env=pendulum", f"--env-options=step_ms={STEP_MS}", "--actors=2",
                          "--", "--total-env-steps=100000", "--metrics-interval-ms=100")
        self.reaches(100)
        self.cluster.run("scancel", str(job))
        self.cluster.is_in(job, "CANCELLED")
        self.assertIn("stopped at", self.read(f"polyak-{job}.log"))

        # Time that is over at once would be over again and again.
        job = self.submit("--env=pendulum", f"--env-options=step_ms={STEP_MS}", "--actors=2",
                          "--", "--total-env-steps=100000", "--metrics-interval-ms=100")
        jobs = [job]
        self.log_says(job, "resumed at")
        self.log_says(job, "connected to", 3)
        self.cluster.run("scancel", "--batch", "--signal=USR1", str(job))
        self.cluster.is_in(job, "FAILED")
        self.assertIn("the job does not start again", self.read(f"polyak-{job}.log"))

        job = self.submit("--env=pendulum", "--", "--gamma=0.5")  # it cannot go on like that
        jobs.append(job)
        self.cluster.is_in(job, "FAILED")
        self.assertEqual(self.cluster.field(job, "ExitCode"), "2:0")

        os.chmod(self.path("run/keys/fleet.key"), 0o644)  # which no actor accepts
        job = self.submit("--env=pendulum", "--actors=2")
        jobs.append(job)
        self.cluster.is_in(job, "FAILED")
        self.assertIn("was refused, see above: the run is stopped", self.read(f"polyak-{job}.log"))
        self.assertNotIn("has expired", "".join(self.read(f"polyak-{at}.log") for at in jobs))

    def test_one_job_in_a_run(self):
        job = self.submit("--env=pendulum", f"--env-options=step_ms={STEP_MS}", "--actors=1",
                          "--learner-cpus=1", "--sbatch=--hold", "--", "--total-env-steps=100000",
                          "--metrics-interval-ms=100")
        port = 20000 + job % 5000 * 2
        with socket.create_server(("127.0.0.2", port + 1)):  # where weights would go out
            self.cluster.run("scontrol", "release", str(job))
            self.reaches(100)
        address = self.read("run/address")
        self.assertNotIn(f":{port}\n", address)

        other = self.submit("--env=pendulum", "--actors=1", "--learner-cpus=1")
        self.cluster.is_in(other, "FAILED")
        self.assertEqual(self.cluster.field(other, "ExitCode"), "2:0")
        self.assertIn(f"job {job} runs in ", self.read(f"polyak-{other}.log"))
        self.assertEqual(self.read("run/address"), address)
        self.cluster.is_in(job, "RUNNING")

    # --- Several

    def test_heterogeneous(self):
        job = self.submit("--env=pendulum", "--actors=4", "--actors-per-task=2", "--het",
                          "--actor-flag=--exit-after-steps=800", "--",
                          "--total-env-steps=5000")
        self.cluster.is_in(job, "COMPLETED")
        log = self.read(f"polyak-{job}.log")
        self.assertIn("finished at 5000 env steps", log)
        actors = re.findall(r"n2/\d\.\d(?=: connected)", log)
        self.assertGreater(len(actors), 4)  # once each would have been 3,200 steps
        self.assertEqual(sorted(set(actors)),
                         ["n2/0.0", "n2/0.1", "n2/1.0", "n2/1.1"])
        self.assertEqual(log.count("as an evaluator"), 1)

    def test_preemptible(self):
        job = self.submit("--env=pendulum", f"--env-options=step_ms={STEP_MS}", "--actors=3",
                          "--preemptible", "--partition=low", "--learner-partition=main", "--",
                          "--total-env-steps=4000", "--metrics-interval-ms=100",
                          "--heartbeat-interval-ms=300", "--eval-interval-env-steps=0")

        def actors(state="all"):
            shown = self.cluster.run("squeue", "--noheader", f"--name=polyak-actors-{job}",
                                     f"--states={state}", "--format=%A %N").stdout
            return dict(line.split(None, 1) for line in shown.splitlines() if " " in line.strip())
        self.reaches(500)
        wait_until(lambda: len(actors("RUNNING")) == 3, "all actors have started")

        # Somebody with more right to the node wants all that the learner leaves of it.
        taken, node = sorted(actors("RUNNING").items())[0]
        learners = 3 if self.cluster.field(job, "NodeList") == node else 0
        greedy = self.cluster.run("sbatch", "--parsable", "--nodes=1", f"--nodelist={node}",
                                  f"--ntasks={CPUS - learners}", "--output=/dev/null",
                                  "--wrap=sleep 1").stdout.strip()
        self.cluster.is_in(greedy, "COMPLETED")
        self.assertEqual(self.cluster.field(taken, "Restarts"), "1")

        self.cluster.run("scontrol", "requeue", str(job))
        self.cluster.start_again(job)
        self.cluster.start_again(taken)
        self.cluster.is_in(job, "COMPLETED")
        self.assertIn("finished at 4000 env steps", self.read(f"polyak-{job}.log"))
        wait_until(lambda: not actors("PENDING,RUNNING,COMPLETING"), "no actor is left behind")

    # --- Without a cluster's help

    def test_actor_ends_by_itself(self):
        """Exit code 3 means once more, at once; 0 that the run is finished."""
        os.makedirs(self.path("bin"))
        with open(self.path("bin/polyak-actor"), "w", encoding="utf-8") as script:
            script.write('#!/bin/sh\necho "$@" >>calls\n[ "$(wc -l <calls)" -ge 8 ] || exit 3\n')
        os.chmod(self.path("bin/polyak-actor"), 0o755)
        os.makedirs(self.path("run"))
        with open(self.path("run/address"), "w", encoding="utf-8") as address:
            address.write("tcp://127.0.0.1:1\n")
        begin = time.monotonic()
        self.cluster.run(os.path.join(SLURM, "actor.sh"), "run", "--env=pendulum", "--labels=rack=7",
                         POLYAK_BIN=self.path("bin"), SLURM_JOB_ID="5", SLURM_ARRAY_JOB_ID="4",
                         SLURM_ARRAY_TASK_ID="2", SLURMD_NODENAME="n1")
        self.assertLess(time.monotonic() - begin, 7)  # with a second between them it is more
        calls = self.read("calls").splitlines()
        self.assertEqual(len(calls), 8)
        self.assertIn("--name n1/4_2.0 --labels job=5,rack=7 --env=pendulum", calls[0])

    # --- What is refused

    def test_refused(self):
        for args, text in (
                (("--actors=4",), "--env is missing"),
                (("--env",), "--env needs a value"),
                (("--env=x", "--actors=0"), "whole number from 1"),
                (("--env=x", "--actor=4"), "unknown flag --actor=4"),
                (("--env=x", "--actors=1000000"), "from 1 to 999999"),
                (("--env=x", "--sbatch=account=robots"), "it must begin with -"),
                (("--env=x", "--actor-flag=--cpus 0"), "it must be one word"),
                (("--env=x", "--time=2"), "say 3 or more"),
                (("--env=x", "--time=0:00:61"), "say 3 or more"),
                (("--env=x", "--time=soon"), "--time soon: it must be minutes"),
                (("--env=pendlum",), "did you mean 'pendulum'"),
                (("--env=pendulum", "--", "--total-env-step", "2000"), "did you mean --total-env-steps"),
                (("--env=pendulum", "--actor-flag=--cpu=0"), "unknown flag --cpu"),
                (("--env=pendulum", "--run-dir=/proc/run"), "/proc/run cannot be made"),
                (("--env=pendulum", "--nodes=3", "--actors=30"), "takes 3 nodes, and the partition main has 2"),
                (("--env=pendulum", "--actors=30"), "takes 5 nodes, and"),
                (("--env=pendulum", "--nodes=1", "--actors=8"), "11 processors of a node, on 1 of"),
                (("--env=pendulum", "--learner-cpus=9"), "10 processors of a node, on 2 of"),
                (("--env=pendulum", "--preemptible", "--learner-partition=main",
                  "--actors=2000"), "at most 1000 tasks"),
                (("--env=x", "--actors=5", "--actors-per-task=2"), "multiple of"),
                (("--env=x", "--het", "--preemptible"), "exclude each other"),
                (("--env=x", "--learner-partition=main"), "needs --het"),
                (("--env=pendulum", "--nodes=2", "--actors=1"), "say fewer nodes, or --het"),
                (("--env=pendulum", "--het", "--partition=single"), "--het needs 2 nodes"),
                (("--env=pendulum", "--partition=none"), "no node in the partition none")):
            with self.subTest(args=args):
                done = self.cluster.run(os.path.join(SLURM, "polyak-slurm"), *args, check=False)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(text, done.stderr)
        self.assertEqual(self.cluster.run("squeue", "--noheader").stdout, "")

    def test_scripts_are_clean(self):
        scripts = [os.path.join(SLURM, name) for name in ("polyak-slurm", "polyak.sbatch", "actor.sh")]
        checked = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
        self.assertEqual(checked.stdout, "")


TOTAL = None
if __name__ == "__main__":
    if "--total-env-steps" in sys.argv:
        at = sys.argv.index("--total-env-steps")
        TOTAL = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    if missing():
        print(f"skipped: {missing()}", file=sys.stderr)
        sys.exit(SKIPPED)
    main()
