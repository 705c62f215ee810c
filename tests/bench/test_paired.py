"""The statistics of paired.py: percentiles within the timer's step, and an interval that holds the median as often as it says."""

import os
import random
import unittest

from tests.bench import paired

SEED = int(os.environ.get("CP_SEED") or 8)
ABOUT = {"tick_ns": 0.5, "step_ticks": 20, "overhead_ticks": 35}


def times(*buckets):
    return paired.Times(ABOUT, [{"times": buckets}], "times")


class Paired(unittest.TestCase):
    def test_quantile(self):
        self.assertAlmostEqual(times([55, 55, 1000]).quantile_ns(0.5), 10)  # 20 ticks behind what reading costs
        self.assertAlmostEqual(times([55, 55, 500], [75, 75, 500]).quantile_ns(0.5), 15)  # half a step on
        self.assertAlmostEqual(times([35, 35, 10]).quantile_ns(0.01), 0)
        pooled = paired.Times(ABOUT, [{"times": [[55, 55, 999]]}, {"times": [[1024, 1055, 1]]}], "times")
        self.assertAlmostEqual(pooled.quantile_ns(0.999), (65 - 35) * 0.5)
        self.assertGreater(pooled.quantile_ns(0.9995), (1023 - 35) * 0.5)

    def test_steps(self):
        """What always takes as long, as a counter with steps shows it."""
        chance = random.Random(SEED)
        for length in range(0, 60, 7):
            buckets = {}
            for _ in range(20_000):
                begin = chance.uniform(0, 20)
                shown = int((begin + length + 35) // 20) * 20
                buckets[shown] = buckets.get(shown, 0) + 1
            found = times(*([ticks, ticks, count] for ticks, count in buckets.items())).quantile_ns(0.5)
            self.assertLess(abs(found - length * 0.5), 0.12 * 20 * 0.5, f"seed {SEED}")

    def test_interval(self):
        chance = random.Random(SEED)
        held = 0
        for _ in range(2000):
            figure = paired.median_interval([chance.lognormvariate(0, 1) for _ in range(13)])
            self.assertTrue(figure["interval"])
            held += figure["low"] <= 1 <= figure["high"]
        self.assertGreater(held / 2000, paired.CONFIDENCE - 0.015, f"seed {SEED}")
        self.assertLess(held / 2000, 1, f"seed {SEED}")

    def test_verdict(self):
        few = paired.median_interval([1, 1, 1, 1, 1])
        self.assertFalse(few["interval"])
        self.assertEqual(paired.verdict(few, 1.1), "cannot be told")
        self.assertEqual(paired.verdict(paired.median_interval([1.0] * 6), 1.1), "yes")
        self.assertEqual(paired.verdict(paired.median_interval([1.2] * 6), 1.1), "no")
        self.assertEqual(paired.verdict(paired.median_interval([1.0, 1.2] * 4), 1.1), "cannot be told")
        self.assertEqual(paired.median_interval([]), {"median": 0, "low": 0, "high": 0, "interval": False})


if __name__ == "__main__":
    unittest.main(verbosity=2)
