"""The recorder and its producers under ThreadSanitizer, with load: builds them so, in a directory of its own beside the build, and runs
test_pinned.py with them (flat out and paced, on one core and on two), and a ring between two threads of one process. A report ends the
program, and fails the test. $CP_SECONDS: for each of the four runs; the default is short.

The engine comes from the ordinary build: it does not live in one process with a sanitizer."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

from tests.support.chdb import SKIP, engine_present

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["COLDPATH_BUILD"])
PLACE = BUILD / "tsan"
TARGETS = ("coldpathd", "put_soak", "test_ring_threads")
ORDINARY = ("coldpath",)  # one thread each
SHORT = "1"


def run(*args, **kwargs):
    done = subprocess.run(list(map(str, args)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
    return done.stdout + done.stderr


class ThreadSanitizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        launcher = re.search(r"CMAKE_C_COMPILER_LAUNCHER:\w+=(.+)", (BUILD / "CMakeCache.txt").read_text())
        run("cmake", "-S", SOURCE, "-B", PLACE, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DCOLDPATH_SANITIZE=thread", "-DCOLDPATH_PYTHON=OFF",
            *([f"-DCMAKE_C_COMPILER_LAUNCHER={launcher[1]}"] if launcher else []))
        run("ninja", "-C", PLACE, *TARGETS)
        for program in ORDINARY:
            link = PLACE / "bin" / program
            link.unlink(missing_ok=True)
            link.symlink_to(BUILD / "bin" / program)
        cls.environment = os.environ | {"TSAN_OPTIONS": "halt_on_error=1 exitcode=66", "COLDPATH_BUILD": str(PLACE),
                                        "COLDPATH_CHDB_BUILD": str(BUILD), "CP_SECONDS": os.environ.get("CP_SECONDS") or SHORT}

    def test_it_would_tell(self):
        """What runs here is the sanitizer's."""
        for target in TARGETS:
            self.assertIn(b"__tsan_write8", (PLACE / "bin" / target).read_bytes(), target)

    def test_two_threads(self):
        run(PLACE / "bin/test_ring_threads", env=self.environment, timeout=600)

    def test_under_load(self):
        said = run(sys.executable, "-B", SOURCE / "tests/race/test_pinned.py", env=self.environment, cwd=SOURCE, timeout=6000)
        print("\n".join(line for line in said.splitlines() if " rows a second each: " in line), file=sys.stderr)
        self.assertNotIn("WARNING: ThreadSanitizer", said)


if __name__ == "__main__":
    if not engine_present() or not shutil.which("ninja"):
        sys.exit(SKIP)
    unittest.main(verbosity=2)
