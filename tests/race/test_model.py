"""Searches every interleaving of the ring's protocol (ring.pml) with SPIN, and sees that the search finds what it should:

each protection is removed in turn, and then there must be an error. A short search by default (a few million states); with
CP_SECONDS of 120 or more also the large one (2 recorder deaths, 66 million states, 4 GB).

By hand:   spin -a tests/race/ring.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m1000000
           an error leaves ring.pml.trail; spin -t -p -g tests/race/ring.pml replays it step by step."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

MODEL = pathlib.Path(__file__).with_name("ring.pml")
LARGE_FROM_SECONDS = 120
SOUND = {
    "one death each": ["-DRECORDER_DEATHS=1"],
    "positions wrap": ["-DRECORDER_DEATHS=1", "-DPRODUCER_DEATHS=0", "-DROWS=6"],
    "the recorder dies twice": ["-DRECORDER_DEATHS=2", "-DPRODUCER_DEATHS=0"],
}
LARGE = {"two recorder deaths, one of a producer": [], "three cells": ["-DCELLS=3", "-DRECORDER_DEATHS=1", "-DROWS=5"]}
BROKEN = {
    "a position published before its row": 1,
    "no intent": 2,
    "an intent whose state is stored first": 3,
    "a half-written acknowledgement not mended": 4,
    "an acknowledgement read without its sequence lock": 5,
    "space given back too early": 6,
}


def search(defines):
    """Returns (errors, states) of the model built with these defines."""
    with tempfile.TemporaryDirectory(prefix="coldpath-model-") as place:
        shutil.copy(MODEL, place)
        subprocess.run(["spin", *defines, "-a", MODEL.name], cwd=place, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=place, check=True)
        done = subprocess.run(["./pan", "-m1000000"], cwd=place, check=True, capture_output=True, text=True)
    if "Search not completed" in done.stdout and "errors: 0" in done.stdout:
        raise AssertionError("the search ended before it was complete:\n" + done.stdout)
    return (int(re.search(r"errors: (\d+)", done.stdout)[1]),
            int(re.search(r"(\d+) states, stored", done.stdout)[1]))


class Model(unittest.TestCase):
    def test_no_interleaving_loses_repeats_or_reorders_a_row(self):
        bounds = dict(SOUND)
        if int(os.environ.get("CP_SECONDS", "0")) >= LARGE_FROM_SECONDS:
            bounds.update(LARGE)
        for name, defines in bounds.items():
            with self.subTest(name):
                errors, states = search(defines)
                print(f"{name}: {states:,} states, {errors} errors", flush=True)
                self.assertEqual(errors, 0)

    def test_each_protection_is_missed_when_it_is_gone(self):
        for name, number in BROKEN.items():
            with self.subTest(name):
                self.assertGreater(search([f"-DBREAK={number}"])[0], 0)


if __name__ == "__main__":
    if not shutil.which("spin"):
        print("spin is not installed: skipped", file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=1)
