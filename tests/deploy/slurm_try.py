#!/usr/bin/env python3
"""A Slurm cluster of two nodes on this machine, to try deploy/slurm by hand. Needs root.

    tests/deploy/slurm_try.py              a shell in which sbatch, squeue and the rest talk to it
    tests/deploy/slurm_try.py COMMAND…     runs a command instead

All of it ends with the shell, jobs included.
"""

import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
os.environ.setdefault("POLYAK_BIN_DIR", "")  # the harness asks for them, the cluster does not
os.environ.setdefault("POLYAK_PLUGIN_DIR", "")

from slurm_cluster import Cluster, missing  # noqa: E402


def main():
    if missing():
        print(f"slurm_try.py: {missing()}", file=sys.stderr)
        return 2
    directory = tempfile.mkdtemp(prefix="polyak-slurm-")
    cluster = None
    try:
        cluster = Cluster(directory, os.environ)
        cluster.wait_until_up()
        print(f"two nodes are up; logs are in {directory}; exit ends all", file=sys.stderr)
        command = sys.argv[1:] or [os.environ.get("SHELL", "/bin/bash")]
        return subprocess.run(command, env=cluster.environment, check=False).returncode
    finally:
        if cluster:
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
