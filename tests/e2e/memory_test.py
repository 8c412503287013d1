"""What the programs take of memory, at most. Not for builds with sanitizers."""

import re

from harness import EndToEnd, main

MIB = 1 << 20
ACTOR_BYTES_MAX = 15 * 1000 * 1000
LEARNER_BYTES_MAX = 60 * 1000 * 1000
BYTES_PER_ACTOR_MAX = 300 * 1000
ACTORS = 3


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.MULTILINE).group(1)) * 1024


class Memory(EndToEnd):
    def test_peaks_stay_within_what_is_promised(self):
        learner = self.learner("--env=pendulum", "--replay-capacity=20000", "--hidden=64,64",
                               "--metrics-interval-ms=20", "--total-env-steps=100000000",
                               "--updates-per-env-step=0.1")
        actors = [self.actor(f"actor-{i}", "--env=pendulum") for i in range(ACTORS)]
        self.reaches(30000)  # the replay is full
        replay = float(re.search(r"replay: .* rows, ([0-9.]+) MiB", learner.log).group(1)) * MIB
        peak = peak_bytes(learner.pid)
        print(f"learner: {peak / 1e6:.1f} MB, of it {replay / 1e6:.1f} MB replay")
        self.assertLess(peak, replay + LEARNER_BYTES_MAX + ACTORS * BYTES_PER_ACTOR_MAX)
        for actor in actors:
            peak = peak_bytes(actor.pid)
            print(f"actor: {peak / 1e6:.1f} MB")
            self.assertLess(peak, ACTOR_BYTES_MAX)


main()
