"""deploy/manual/README.md: each of its lines, on hosts made of network namespaces.

The page's shell blocks are run in their order, with stand-ins for ssh and scp: each host is a network
namespace and a directory, where its names are known. Between the blocks the test waits for what the
page says will be. All runs in one process namespace, and ends with it. Needs root.
"""

import json
import os
import re
import subprocess

from harness import BIN, DEADLINE_S, EndToEnd, dies_with_its_parent, main
from hosts import Hosts

PAGE = os.path.join(os.environ["POLYAK_SOURCE_DIR"], "deploy", "manual", "README.md")
ADDRESSES = "127.0.0.1 localhost\n10.77.1.1 learner\n10.77.1.2 rack\n"
UPDATES_AT_FULL_PACE = 149000
LEARNED = -250  # of pendulum: chance is below -1000

SSH = """#!/bin/sh
# ssh HOST COMMAND…
host=$1
shift
export HOST_DIRECTORY=$WORLD/$host COMMAND="$*"
exec nsenter "--net=$WORLD/$host.net" unshare --mount sh -c \
    'mount --bind "$WORLD/hosts" /etc/hosts && cd "$HOST_DIRECTORY" && exec sh -c "$COMMAND"'
"""
SCP = """#!/bin/bash
# scp FILE… TO, each HOST:PATH or here
for name; do
    case $name in
    *:*) names+=("$WORLD/${name%%:*}/${name#*:}") ;;
    *) names+=("$name") ;;
    esac
done
cp "${names[@]}"
"""
# wait_for WHAT PYTHON: until it is true of the status `s`.
WAIT = """
wait_for() {
    for _ in $(seq DEADLINE); do
        if polyak status --json --connect tcp://learner:5555 --key me.key \
            --learner-key learner.pub 2>status.err | tail -n 1 >status.json &&
            python3 -c "import json; s = json.load(open('status.json')); exit(not ($2))" 2>/dev/null
        then return; fi
        sleep 1
    done
    echo "not there in time: $1" >&2
    exit 1
}
wait_gone() {
    for _ in $(seq DEADLINE); do
        if ! kill -0 "$(cat "$WORLD/learner/learner.pid")" 2>/dev/null; then return; fi
        sleep 1
    done
    echo "the learner is still there" >&2
    exit 1
}
""".replace("DEADLINE", str(2 * DEADLINE_S))


def blocks():
    """The page's shell blocks, by the number of their section."""
    found, section = {}, 0
    with open(PAGE, encoding="utf-8") as file:
        for part in re.split(r"^## ", file.read(), flags=re.MULTILINE):
            number = re.match(r"(\d+)\.", part)
            section = int(number.group(1)) if number else section
            found.setdefault(section, []).extend(
                re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL))
    return found


class Manual(EndToEnd):
    def setUp(self):
        super().setUp()
        hosts = Hosts(self, "me", "learner", "rack", "node1", "node2", "node3")
        hosts.link("learner", "rack", 1)
        for net, host, near in ((2, "me", "learner"), (3, "node3", "learner"), (4, "node1", "rack"),
                                (5, "node2", "rack")):
            hosts.link(near, host, net)
            hosts.route(host, "default", f"10.77.{net}.1")
        os.mkdir(self.path("bin"))
        for name, text in (("ssh", SSH), ("scp", SCP)):
            os.chmod(self.write(os.path.join("bin", name), text), 0o755)
        self.write("hosts", ADDRESSES)
        for host, pid in hosts.pids.items():
            os.mkdir(self.path(host))
            os.symlink(f"/proc/{pid}/ns/net", self.path(f"{host}.net"))
        self.environment.update(WORLD=self.directory,
                                PATH=f"{self.path('bin')}:{BIN}:{os.environ['PATH']}")

    def play(self, script):
        """Runs it at the host `me`, and all that it starts to its end."""
        path = self.write("script", script)
        with open(self.path("said"), "w", encoding="utf-8") as said:
            done = subprocess.run(
                ["unshare", "--pid", "--fork", "--kill-child", os.path.join(self.path("bin"), "ssh"),
                 "me", f"exec bash -eu {path}"], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=said, stderr=subprocess.STDOUT, check=False, preexec_fn=dies_with_its_parent)
        if done.returncode != 0:
            self.fail("\n".join([self.read("said")] + [
                f"--- {host}/{name}\n{self.read(host, name)}"
                for host in ("learner", "rack", "node1", "node2", "node3")
                for name in sorted(os.listdir(self.path(host))) if name.endswith(".log")]))

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8", errors="replace") as file:
            return file.read()

    def test_the_page_from_nothing_to_a_trained_policy(self):
        page = blocks()
        keys, (learner,), (relay,), (actors, evaluator), look = (page[i] for i in range(1, 6))
        drain, pace = page[6]
        (stop,), (judge,) = page[7], page[8]
        there = '{a["name"] for a in s["actors"]}'
        self.play("\n".join([
            WAIT, *keys, learner, relay, actors, evaluator,
            f"wait_for 'six actors and an evaluator' 'len({there}) == 6 and s[\"evaluators\"] == 1'",
            "wait_for 'training' 's[\"updates\"] > 0'", *look, drain, "cp status.json before.json",
            f"wait_for 'four actors' 'len({there}) == 4'", pace, stop, "wait_gone", learner,
            "wait_for 'its actors' 's[\"epoch\"] == 2 and len(s[\"actors\"]) == 4'", "wait_gone",
            judge, judge.rstrip() + " --json | tail -n 1 >score.json",
            "ssh learner polyak inspect --run-dir runs/fleet --json | tail -n 1 >log.json"]))
        score = json.loads(self.read("me", "score.json"))
        self.assertGreater(score["return_mean"], LEARNED)
        steps, updates = re.search(r"finished at (\d+) env steps and (\d+) updates",
                                   self.read("learner", "learner.log").replace(",", "")).groups()
        self.assertEqual(int(steps), 150000)
        self.assertLess(int(updates), UPDATES_AT_FULL_PACE)
        log = json.loads(self.read("me", "log.json"))
        self.assertEqual(log["missing_segments"], 0)
        for name in ("node1/actor-1.log", "node3/actor-2.log", "node2/actor-1.log"):
            self.assertNotIn("did not acknowledge", self.read(*name.split("/")))


main()
