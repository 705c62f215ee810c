"""What a row costs, held by counted instructions: `counted` (counted.c) does the work under valgrind's callgrind, which counts what the
named function and those that it calls execute. The count is the same whatever else the host does, so a change that makes each row
dearer is seen on any machine, where a time would not show it.

    python3 tests/bench/test_instructions.py           prints every count with its bound, and where most of it is spent

A bound is the count when it was set, with MARGIN for another compiler. What exceeds it names the function with the most
instructions: it is mended, or the bound is raised with a reason in the commit. What has fallen below half of its bound is told too, since it
is held by nothing any more. Only in a RelWithDebInfo build by gcc without sanitizer or coverage: the bounds are of such code.

Instructions are not time: a cache miss is one. An instruction with a rep prefix counts once for each repetition, which is what
shows memory that is cleared (400 bytes a row by rep stos were 51). glibc's copies by vectors and by rep movs, one instruction a byte
of which callgrind makes 128 a row, are turned off, so that the count does not depend on the host's processor."""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("COLDPATH_BUILD") or "build").resolve()
MARGIN = 1.3
TIMEOUT = 300
SAME_COPIES = "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-SSE4_2"

Work = collections.namedtuple("Work", "function count unit measured")
# What counted is told, its function, how many units that makes, and the count per unit when the bound was set.
WORKS = {
    "put": Work("put_rows", 6000, "row of 120 bytes put", 47),
    "drain": Work("drain_turn", 6000, "row drained: copied, checked, indexed", 119),
    "idle": Work("idle_turns", 200, "turn over an empty ring", 149),
    "idle200": Work("idle_turns", 200, "turn over 200 tables' empty rings", 22_835),
    "encode": Work("encode_rows", 20_000, "row of the order book in Native", 279),
}


def cached(name):
    """What CMake's cache has for name."""
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found.group(1) if found else ""


def reason_to_skip():
    if cached("CMAKE_BUILD_TYPE") != "RelWithDebInfo":
        return "the bounds are of a RelWithDebInfo build"
    if cached("COLDPATH_SANITIZE") or "--coverage" in cached("CMAKE_C_FLAGS"):
        return "a sanitizer or coverage adds instructions"
    if "clang" in cached("CMAKE_C_COMPILER"):
        return "the bounds are of gcc's code"
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    return None


def dearest(out):
    """Of a profile: the functions with the most instructions of their own."""
    done = subprocess.run(["callgrind_annotate", "--auto=no", out], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    lines = re.findall(r"^\s*([\d,]+) \(\s*([\d.]+)%\)  (?:\S*/)?(\S+:\w\S*)", done.stdout, re.MULTILINE)
    return ", ".join(f"{name} {share}%" for _, share, name in lines[:3])


def count(name, work):
    """(instructions per unit, where most of them are)."""
    with tempfile.TemporaryDirectory(prefix="coldpath-test-", dir="/dev/shm") as region, tempfile.TemporaryDirectory() as directory:
        out = pathlib.Path(directory, "callgrind.out")
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--toggle-collect={work.function}",
                               BUILD / "bin/counted", name, region, str(work.count)], capture_output=True, text=True, timeout=TIMEOUT,
                              env={**os.environ, "GLIBC_TUNABLES": SAME_COPIES})
        total = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or not total:
            raise RuntimeError(f"counted {name} under valgrind: {done.returncode}\n{done.stderr}")
        return int(total.group(1)) / work.count, dearest(out)


class Instructions(unittest.TestCase):
    def hold(self, name):
        work = WORKS[name]
        found, where = count(name, work)
        bound = round(work.measured * MARGIN)
        text = f"{found:,.1f} instructions per {work.unit}, at most {bound:,}; most in {where}"
        print(text)
        self.assertLessEqual(found, bound, text)
        self.assertGreaterEqual(found, bound / 2, f"{text}: it costs less than half of its bound; lower that")

    def test_put(self):
        self.hold("put")

    def test_drain(self):
        self.hold("drain")

    def test_idle_turn(self):
        self.hold("idle")

    def test_idle_turn_of_many_tables(self):
        self.hold("idle200")

    def test_encode(self):
        self.hold("encode")


if __name__ == "__main__":
    if reason := reason_to_skip():
        print(f"skipped: {reason}")
        raise SystemExit(77)
    unittest.main()
