"""`coldpath bench encode`, short: every figure is there, rows of a file are taken, and wrong input is named."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

COLDPATH = pathlib.Path(os.environ.get("COLDPATH_BUILD") or "build").resolve() / "bin/coldpath"
DDL = "CREATE TABLE t (ts DateTime64(3), name LowCardinality(String), n Nullable(Int32)) ENGINE = MergeTree ORDER BY ts\n"


class Encode(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="coldpath-bench-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.ddl = self.directory / "t.sql"
        self.ddl.write_text(DDL)

    def encode(self, *args):
        return subprocess.run([COLDPATH, "bench", "encode", "--seconds", "1", "--rounds", "2", "--json", *args],
                              capture_output=True, text=True, timeout=120, check=False)

    def answer(self, *args):
        done = self.encode(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_synthetic(self):
        answer = self.answer("--rows", "20000")
        self.assertEqual(answer["rows"], 20000)
        for way in ("memcpy", "native", "native_zstd", "json", "json_zstd"):
            self.assertGreater(answer["ways"][way]["cpu_ns_per_row"]["median"], 0, way)
        self.assertEqual(answer["heap_growth_bytes"], 0)
        self.assertGreater(answer["batches"], 0)
        # Columnar and compressed must be the smaller one, on any host.
        self.assertLess(answer["wire_native_to_json"], 0.85)
        self.assertIn("steal", answer["host"])

    def test_rows_of_a_file(self):
        data = self.directory / "t.csv"
        data.write_text("ts,name,n\n" + "".join(f"{1700000000000 + i},name{i % 3},{i if i % 2 else ''}\n" for i in range(500)))
        answer = self.answer("--ddl", self.ddl, "--data", data)
        self.assertEqual(answer["rows"], 500)
        self.assertEqual(self.answer("--ddl", self.ddl, "--data", data, "--rows", "7")["rows"], 7)

    def test_bad_input(self):
        data = self.directory / "t.csv"
        data.write_text("ts,name,n\n1700000000000,a,1\n1700000000000,a,many\n")
        done = self.encode("--ddl", self.ddl, "--data", data)
        self.assertEqual(done.returncode, 1)
        self.assertIn("t.csv:3", done.stderr)
        self.assertIn("many", done.stderr)
        self.assertNotEqual(self.encode("--data", data).returncode, 0)
        self.assertEqual(self.encode("--level", "99").returncode, 64)


if __name__ == "__main__":
    sys.exit(unittest.main())
