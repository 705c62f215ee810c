"""A hostile producer does what it likes with its ring while the recorder drains (mutate.c): rows, lengths, positions and header
change under the reader's eyes. Producers that behave put into the same table, a critical and a lossy one, through restarts: every
row of theirs arrives, once. The recorder lives, and names each ring that it sets aside. $CP_SECONDS: how long, $CP_SEED."""

import json
import os
import random
import subprocess
import sys
import time
import unittest

from tests.hostile.support import SECONDS, SEED, SLOTS, Producer, check_arrived, log_events, make
from tests.support.chdb import SKIP, engine_present

KINDS = ("rows", "lengths", "positions", "header", "torn", "all")
ROUND_SECONDS = 3
# These break the protocol for certain; whether the others do depends on who looks when.
BREAKS = ("lengths", "positions", "all")
OBSERVERS = (("status", "--json"), ("audit", "--json"), ("doctor", "--json"), ("status",))


class HostileProducer(unittest.TestCase):
    def setUp(self):
        make(self)

    def mutators(self, random_source):
        """One process a slot, all but slot 0, which a producer that behaves holds."""
        build = self.recorder.build / "bin/mutate"
        started = {}
        for slot in range(1, SLOTS):
            kind = KINDS[slot % len(KINDS)]
            started[slot] = kind, subprocess.Popen(
                [build, self.recorder.region, "target", str(slot), kind, str(ROUND_SECONDS), str(random_source.getrandbits(48))],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return started

    def check_round(self, since, mutators):
        """The recorder lives, and has named what is broken and nothing else."""
        self.assertIsNone(self.recorder.process.poll(), self.recorder.read_log()[-5000:])
        due = {slot for slot, (kind, _) in mutators.items() if kind in BREAKS}
        deadline = time.monotonic() + 30
        while True:
            said = self.recorder.read_log()[since:]
            broken = {int(event["slot"]): event for event in log_events(said, "ring broken")}
            if due <= set(broken) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for slot, (kind, _) in mutators.items():
            if kind in BREAKS:
                self.assertIn(slot, broken, f"{kind}: {said[-3000:]}")
        for slot, event in broken.items():
            self.assertEqual(event["table"], "target")
            self.assertIn(slot, mutators)
            self.assertTrue(event["reason"] and event["fault"] and event["remedy"], event)
        for event in log_events(said, "rows rejected"):
            self.assertEqual(event["table"], "target")
            self.assertIn(int(event["slot"]), mutators)
        return broken

    def observe(self):
        """Who looks from outside gets an answer, too."""
        for verb in OBSERVERS:
            done = self.recorder.run("coldpath", *verb, timeout=60)
            self.assertGreaterEqual(done.returncode, 0, done.stderr)
            if "--json" in verb:
                json.loads(done.stdout)

    def test_mutators(self):
        source = random.Random(SEED)
        good = [Producer(self.recorder, table) for table in ("target", "witness", "bystander")]
        time.sleep(0.5)  # it has slot 0
        end = time.monotonic() + SECONDS
        rounds, set_aside, done = 0, 0, {}
        while rounds == 0 or time.monotonic() < end:
            since = len(self.recorder.read_log())
            mutators = self.mutators(source)
            self.observe()
            for slot, (kind, process) in mutators.items():
                out, error = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0, error)
                for what, count in json.loads(out).items():
                    done[what] = done.get(what, 0) + count
            broken = self.check_round(since, mutators)
            # A restart finds them as they are, says so, and works on; then as the remedy has it.
            self.recorder.restart()
            self.check_round(since, mutators)
            self.assertEqual(self.recorder.stop(), 0)
            for slot in mutators:
                os.unlink(self.recorder.region / f"target.{slot}.ring")
            self.recorder.start()
            rounds += 1
            set_aside += len(broken)
        for producer in good:
            producer.finish()
            check_arrived(self, producer)
        self.assertEqual(self.recorder.stop(), 0, self.recorder.read_log()[-3000:])
        print(f"{rounds} rounds, {set_aside} rings set aside, {done}, "
              f"rows that had to arrive: {sum(producer.rows for producer in good)}", file=sys.stderr)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
