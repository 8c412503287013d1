"""Hosts on one machine: network namespaces, cables between them, and cables that are long.

A host is the network of a process that sleeps; it goes when its last process does, so that none is
left behind, whatever becomes of the test. Needs root. Standard library only.
"""

import os
import shutil
import subprocess

from harness import dies_with_its_parent, wait_until

FORWARDER = os.environ.get("POLYAK_DELAY_FORWARDER", "")
CABLES = "cables"  # the host that slow cables lead through


def why_none():
    """Why there can be no hosts here; None when there can."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    for tool in ("ip", "nsenter", "unshare"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return "no network namespaces here"
    return None


class Hosts:
    """Hosts by their names, each with its own network, in which only loopback is up at first."""

    def __init__(self, test, *names):
        self.test = test
        self.pids = {}
        self.interfaces = dict.fromkeys(names, 0)
        self.forwarders = []
        why = why_none()
        if why:
            test.skipTest(why)
        for host in names:
            sleeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                       preexec_fn=dies_with_its_parent)
            test.addCleanup(sleeper.wait)
            test.addCleanup(sleeper.kill)
            self.pids[host] = sleeper.pid
        for pid in self.pids.values():
            wait_until(lambda pid=pid: self.network(pid) != self.network("self"), "a network")
        for host in names:
            self.run(host, "ip", "link", "set", "lo", "up")

    def network(self, pid):
        return os.readlink(f"/proc/{pid}/ns/net")

    def inside(self, host):
        """The words before a program that is to run on this host."""
        return ["nsenter", f"--net=/proc/{self.pids[host]}/ns/net"]

    def run(self, host, *words):
        done = subprocess.run([*self.inside(host), *words], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            self.test.skipTest(f"{' '.join(words)}: {done.stderr.strip()}")

    def join(self, host, other):
        """A cable between two hosts. The names of the interfaces at its ends."""
        ends = []
        for at in (host, other):
            ends.append(f"eth{self.interfaces[at]}")
            self.interfaces[at] += 1
        self.run(host, "ip", "link", "add", ends[0], "type", "veth",
                 "peer", "name", ends[1], "netns", str(self.pids[other]))
        for at, end in zip((host, other), ends):
            self.run(at, "ip", "link", "set", end, "up")
        return ends

    def link(self, host, other, net, delay_ms=None):
        """A cable with the network 10.77.NET.0: host is 1 in it, other is 2, which is returned. With
        a delay it is a slow one."""
        if delay_ms is None:
            ends = self.join(host, other)
        else:
            near, near_end = self.join(host, CABLES)
            far, far_end = self.join(other, CABLES)
            self.forward_slowly(delay_ms, near_end, far_end)
            ends = [near, far]
        for at, end, number in ((host, ends[0], 1), (other, ends[1], 2)):
            self.run(at, "ip", "address", "add", f"10.77.{net}.{number}/24", "dev", end)
        return f"10.77.{net}.2"

    def forward_slowly(self, delay_ms, *ends):
        forwarder = subprocess.Popen([*self.inside(CABLES), FORWARDER, str(delay_ms), *ends],
                                     stdout=subprocess.PIPE, text=True,
                                     preexec_fn=dies_with_its_parent)
        self.test.addCleanup(forwarder.stdout.close)
        self.test.addCleanup(forwarder.wait)
        self.test.addCleanup(forwarder.kill)
        said = forwarder.stdout.readline()
        self.test.assertEqual(said, "forwarding\n", "the slow cable")
        self.forwarders.append(forwarder)

    def route(self, host, to, via):
        self.run(host, "ip", "route", "add", to, "via", via)

    def forward(self, host, on):
        """Whether this host passes on what is for others. One that stops is a partition: nobody is
        told, and no cable is seen to be unplugged."""
        self.run(host, "sh", "-c", f"echo {on:d} > /proc/sys/net/ipv4/ip_forward")
