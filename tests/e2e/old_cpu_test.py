"""The same programs on a CPU without AVX: emulated, so that an instruction too many is illegal."""

import json

from harness import SMALL, EndToEnd, main

EMULATOR = ["qemu-x86_64", "-cpu", "Nehalem"]


class OldCpu(EndToEnd):
    def setUp(self):
        super().setUp()
        self.emulator = EMULATOR

    def test_a_run_goes_from_its_start_to_a_policy(self):
        learner = self.learner("--env=pendulum", *SMALL, "--total-env-steps=700")
        actor = self.actor("actor", "--env=pendulum")
        self.assertEqual(learner.end(), 0)
        self.assertEqual(actor.end(), 0)
        self.assert_done(700, updates=200)

    def test_updates_use_what_the_cpu_has(self):
        bench = self.finish("polyak", "bench", "update", "--hidden=32,32", "--batch=16",
                            "--threads=2", "--seconds=0.1", "--json")
        self.assertEqual(bench.end(), 0)
        self.assertEqual(json.loads(bench.out)["isa"], "sse2")

    def test_more_than_the_cpu_has_is_refused(self):
        self.environment["POLYAK_ISA"] = "avx2"
        self.assert_refused(2, "this CPU has no more than sse2", "polyak", "bench", "update")


main()
