"""Searches every interleaving of the protocol with SPIN, and sees that the search finds what it should:

    ring.pml     one ring: put, drain, intent, delivery, the acknowledgement's cursor and counts; producer and recorder killed at any step
    attach.pml   one slot: producers that attach and detach while the recorder replaces ring and control file; locks, names, epochs

Each protection is removed in turn, and then there must be an error. A short search by default (some million states); with
CP_SECONDS of 120 or more also the large ones (2 recorder deaths, 66 million states, 4 GB). It is exhaustive, so that there is no seed.

By hand:   spin -a tests/race/ring.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
           an error leaves ring.pml.trail; spin -t -p -g tests/race/ring.pml replays it step by step."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

MODELS = pathlib.Path(__file__).parent
LARGE_FROM_SECONDS = 120
SOUND = {
    "one death each": ("ring", ["-DRECORDER_DEATHS=1"]),
    "positions wrap": ("ring", ["-DRECORDER_DEATHS=1", "-DPRODUCER_DEATHS=0", "-DROWS=6"]),
    "the recorder dies twice": ("ring", ["-DRECORDER_DEATHS=2", "-DPRODUCER_DEATHS=0"]),
    "a slot, one death each": ("attach", ["-DRECORDER_DEATHS=1", "-DTURNS=1"]),
}
LARGE = {
    "two recorder deaths, one of a producer": ("ring", []),
    "three cells": ("ring", ["-DCELLS=3", "-DRECORDER_DEATHS=1", "-DROWS=5"]),
    "a slot, taken twice by each": ("attach", ["-DRECORDER_DEATHS=1", "-DPRODUCER_DEATHS=0"]),
}
BROKEN = {
    "a position published before its row": ("ring", 1),
    "no intent": ("ring", 2),
    "an intent whose state is stored first": ("ring", 3),
    "a half-written acknowledgement not mended": ("ring", 4),
    "an acknowledgement read without its sequence lock": ("ring", 5),
    "space given back too early": ("ring", 6),
    "a lock taken on a file that has lost its name": ("attach", 1),
    "a ring replaced without holding its lock": ("attach", 2),
    "a ring looked at before its lock is held": ("attach", 3),
}


def search(model, defines, optimize="-O2"):
    """Returns (errors, states) of the model built with these defines."""
    with tempfile.TemporaryDirectory(prefix="coldpath-model-") as place:
        shutil.copy(MODELS / f"{model}.pml", place)
        subprocess.run(["spin", *defines, "-a", f"{model}.pml"], cwd=place, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cc", optimize, "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=place, check=True)
        done = subprocess.run(["./pan", "-m1000000"], cwd=place, check=True, capture_output=True, text=True)
    if "Search not completed" in done.stdout and "errors: 0" in done.stdout:
        raise AssertionError("the search ended before it was complete:\n" + done.stdout)
    return (int(re.search(r"errors: (\d+)", done.stdout)[1]),
            int(re.search(r"(\d+) states, stored", done.stdout)[1]))


class Model(unittest.TestCase):
    def searches(self, wanted, workers):
        """(name, errors, states) of each of name: (model, defines, optimize)."""
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            running = {name: pool.submit(search, *how) for name, how in wanted.items()}
            for name, one in running.items():
                yield name, *one.result()

    def test_no_interleaving_loses_repeats_or_reorders_a_row(self):
        large = int(os.environ.get("CP_SECONDS", "0")) >= LARGE_FROM_SECONDS
        for name, errors, states in self.searches(SOUND | (LARGE if large else {}), 1 if large else os.cpu_count()):
            with self.subTest(name):
                print(f"{name}: {states:,} states, {errors} errors", flush=True)
                self.assertEqual(errors, 0)

    def test_each_protection_is_missed_when_it_is_gone(self):
        """These are found soon: built fast."""
        wanted = {name: (model, [f"-DBREAK={number}"], "-O0") for name, (model, number) in BROKEN.items()}
        for name, errors, _ in self.searches(wanted, os.cpu_count()):
            with self.subTest(name):
                self.assertGreater(errors, 0)


if __name__ == "__main__":
    if not shutil.which("spin"):
        print("spin is not installed: skipped", file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=1)
