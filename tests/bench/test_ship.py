"""`coldpath bench ship` and `e2e` for a few rows: that they start an engine and a recorder of their own, measure what they say, and
leave nothing behind, also when there is no ClickHouse. Skipped (77) without the embedded engine."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, build_dir, engine_library, engine_present

ROWS = 20_000


class Ship(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="coldpath-ship-test-")
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def bench(self, *args):
        env = os.environ | {"TMPDIR": str(self.scratch), "COLDPATH_CHDB_LIB": engine_library()}
        done = subprocess.run([build_dir() / "bin/coldpath", "bench", *args], env=env, capture_output=True, timeout=300, check=False)
        self.assertEqual(list(self.scratch.iterdir()), [], "files are left behind")
        return done

    def measured(self, *args):
        done = self.bench(*args, "--json", "--rounds", "1", "--rows", str(ROWS))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_ship(self):
        answer = self.measured("ship", "--batch", "5000", "--compression", "none")
        ways = answer["ways"]
        self.assertTrue(answer["embedded"])
        self.assertEqual({way: figures["rows"] for way, figures in ways.items()},
                         {"ship": ROWS, "batches": ROWS, "native": ROWS, "json": ROWS})
        self.assertTrue(all(figures["rows_per_s"]["median"] > 0 for figures in ways.values()))
        self.assertGreater(ways["json"]["bytes"], ways["native"]["bytes"])
        zstd = self.measured("ship", "--batch", "5000")["ways"]["ship"]["bytes"]
        self.assertLess(zstd, ways["ship"]["bytes"])

    def test_e2e(self):
        answer = self.measured("e2e")
        self.assertGreater(answer["rows_per_s"]["median"], 0)
        self.assertGreater(answer["cpu_ns_per_row"]["recorder"]["median"], 0)
        self.assertEqual(answer["alone_rows"], 50)
        self.assertGreaterEqual(answer["alone_ns"]["low"], answer["alone_wait_ms"] * 1e6)

    def test_no_clickhouse(self):
        for verb in ("ship", "e2e"):
            done = self.bench(verb, "--url", "http://127.0.0.1:9")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(b"ClickHouse at http://127.0.0.1:9", done.stderr)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
