"""A Slurm cluster on this machine, for one test: munged, slurmctld, and a slurmd for each node.

All of it lives in a directory of its own, listens on ports of its own, and reads nothing below /etc.
Where the kernel allows it, the daemons have a PID namespace: whatever they started ends with them.
"""

import os
import random
import shutil
import socket
import subprocess
import time

from harness import free_port, wait_until

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
CPUS = 8  # of each node, whatever the machine has
NODES = ("n1", "n2")

CONFIGURATION = """\
ClusterName=polyak
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd-%n.log
SlurmdParameters=config_overrides
PlugStackConfig={directory}/plugstack.conf
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
FirstJobId={first_job}
KillWait=10
ReturnToService=2
"""

# All in one shell, so that they are in one namespace. It ends when its standard input does.
START = """
munged --foreground --force --key-file=munge/key --socket=$PWD/munge/socket \\
    --pid-file=$PWD/munge/pid --log-file=$PWD/munge/log --seed-file=$PWD/munge/seed &
until [ -S munge/socket ]; do sleep 0.05; done
slurmctld -D -i -c &
for node in "$@"; do slurmd -D -N "$node" & done
read -r _
kill $(jobs -p)
wait
"""


def missing():
    """Why there can be no cluster here, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in DAEMONS if not shutil.which(name, path=path)]
    if absent:
        return f"{', '.join(absent)}: not installed; scripts/setup.sh test does it on Debian"
    if os.geteuid() != 0:
        return "slurmctld and slurmd need root here"
    return None


class Cluster:
    """Starts at once; stop() ends it and all of its jobs."""

    def __init__(self, directory, environment):
        self.directory = directory
        for name in ("munge", "state", *(f"spool-{node}" for node in NODES)):
            os.makedirs(os.path.join(directory, name), mode=0o700)
        self._write("munge/key", os.urandom(1024))
        os.chmod(os.path.join(directory, "munge/key"), 0o600)
        self._write("plugstack.conf", b"")
        host = socket.gethostname()
        lines = [CONFIGURATION.format(host=host, port=free_port(), directory=directory,
                                      first_job=random.randrange(1, 5000))]
        lines += [f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} "
                  f"CPUs={CPUS} RealMemory=8000" for node in NODES]
        lines += ["PartitionName=main Nodes=ALL Default=YES PriorityTier=2 PreemptMode=OFF State=UP",
                  "PartitionName=low Nodes=ALL PriorityTier=1 State=UP",
                  f"PartitionName=single Nodes={NODES[0]} PriorityTier=2 PreemptMode=OFF State=UP"]
        self._write("slurm.conf", ("\n".join(lines) + "\n").encode())
        self.environment = dict(environment, SLURM_CONF=os.path.join(directory, "slurm.conf"))
        self.environment["PATH"] += ":/usr/sbin:/sbin"

        inside = NAMESPACE
        if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
            inside = []
        self.log_path = os.path.join(directory, "daemons.log")
        with open(self.log_path, "wb") as log:
            self.daemons = subprocess.Popen([*inside, "bash", "-c", START, "bash", *NODES],
                                            cwd=directory, env=self.environment,
                                            stdin=subprocess.PIPE, stdout=log, stderr=log)

    def _write(self, name, content):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(content)

    def run(self, *args, check=True, **more):
        """A command of Slurm, or one that uses it."""
        done = subprocess.run(args, env=dict(self.environment, **more), cwd=self.directory,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(args)} ends with {done.returncode}: {done.stderr}")
        return done

    def wait_until_up(self):
        def up():
            if self.daemons.poll() is not None:
                raise AssertionError(f"the daemons ended:\n{self.logs()}")
            shown = self.run("sinfo", "--noheader", "--format=%D %t", "--partition=main", check=False)
            return shown.stdout.strip() == f"{len(NODES)} idle"
        wait_until(up, "all nodes are idle")

    # --- Jobs

    def field(self, job, name):
        """What scontrol shows of a job, such as JobState."""
        shown = self.run("scontrol", "--oneliner", "show", "job", str(job)).stdout
        for word in shown.split():
            if word.startswith(f"{name}="):
                return word[len(name) + 1:]
        raise AssertionError(f"{name} is not in {shown}")

    def is_in(self, job, state):
        wait_until(lambda: self.field(job, "JobState") == state, f"job {job} is {state}")

    def steps(self, job):
        """Step ids of a running job, by name."""
        shown = self.run("squeue", "--noheader", "--steps", f"--jobs={job}", "--format=%i %j").stdout
        return {line.split()[1]: line.split()[0] for line in shown.splitlines()}

    def start_again(self, job):
        """A requeued job would wait for two minutes. A little it must: a node refuses a job that was
        taken from it in the same second."""
        self.is_in(job, "PENDING")
        time.sleep(2)
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    # --- The end

    def logs(self):
        """What the daemons said of errors."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(line for line in file if "error" in line or "fatal" in line)

    def stop(self):
        if self.daemons.poll() is None:
            jobs = self.run("squeue", "--noheader", "--format=%A", check=False).stdout.split()
            if jobs:
                self.run("scancel", "--quiet", *jobs, check=False)
                wait_until(lambda: not self.run("squeue", "--noheader", check=False).stdout,
                           "all jobs are gone")
        self.daemons.stdin.close()
        try:
            self.daemons.wait(20)
        except subprocess.TimeoutExpired:
            self.daemons.kill()  # and with it the namespace
            self.daemons.wait()
