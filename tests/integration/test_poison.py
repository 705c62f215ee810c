"""Rows that ClickHouse refuses: the good ones around them arrive, once, and they go to the quarantine with the reason, from
where `coldpath quarantine retry` delivers them after the table is mended. Also with the recorder killed at random and at every
fail point while it looks for them. $CP_SEED, $CP_SECONDS of killing (default 12), $CP_ROWS of the large run."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 12)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
ROWS = int(os.environ.get("CP_ROWS") or 1_000_000)
DDL = """CREATE TABLE {name}
(
    id UInt64,
    price Int32,
    note LowCardinality(String),
    _cp_epoch UInt64,
    _cp_slot UInt16,
    _cp_position UInt64
)
ENGINE = MergeTree ORDER BY id
SETTINGS non_replicated_deduplication_window = 100000
"""
FAST = {"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}}


def settings(directory, name, **more):
    path = pathlib.Path(directory) / f"{name}.sql"
    path.write_text(DDL.format(name=name))
    return {name: {"ddl": str(path), "ring_size": "64MiB", "slots": 4,
                   "flush": {"interval": "20ms", "max_rows": 200000}} | more}


def put(recorder, name, rows):
    """rows: (id, price). Puts them and returns the finished process."""
    text = "".join(f"{number},{price},n{number % 5}\n" for number, price in rows)
    done = recorder.run("coldpath", "put", name, "--format", "csv", input=text.encode())
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())


class Poison(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="coldpath-poison-")
        self.addCleanup(self.directory.cleanup)

    def listing(self, recorder, name):
        answer = json.loads(recorder.run("coldpath", "quarantine", "ls", "--json", check=True).stdout)
        return next(table for table in answer["tables"] if table["table"] == name)

    def check_held(self, server, name, expected):
        """expected: sorted ids."""
        held = [int(line) for line in server.query(f"SELECT id FROM test.{name} ORDER BY id").split()]
        extra = collections.Counter(held) - collections.Counter(expected)
        missing = collections.Counter(expected) - collections.Counter(held)
        self.assertFalse(extra or missing,
                         f"twice or unknown {list(extra.items())[:5]}, missing {list(missing.items())[:5]}")

    def large(self, name, clause, count, rows, code, **more):
        """rows rows, count of them bad; refused by clause."""
        chance = random.Random(SEED)
        bad = set(chance.sample(range(rows), count))
        with ChdbServer() as server, Recorder(server, settings(self.directory.name, name, **more), extra=FAST) as recorder:
            server.query(f"ALTER TABLE test.{name} {clause}")
            began = time.monotonic()
            put(recorder, name, ((number, -1 if number in bad else 1) for number in range(rows)))
            status = recorder.wait_delivered(timeout=400)["tables"][0]
            took = time.monotonic() - began
            print(f"{name}: {count} bad rows of {rows}: {status['insert_attempts']} sends, {took:.1f} s", file=sys.stderr)
            self.assertTrue(status["balanced"], status)
            self.assertEqual((status["rows_delivered"], status["rows_quarantined"]), (rows - count, count))
            self.check_held(server, name, [number for number in range(rows) if number not in bad])
            listed = self.listing(recorder, name)
            self.assertEqual((listed["rows"], listed["codes"]), (count, [{"code": code, "rows": count}]))
            shown = recorder.run("coldpath", "quarantine", "show", name, "--limit", 5, "--json", check=True)
            for row in json.loads(shown.stdout)["rows"]:
                self.assertIn(row["row"]["id"], bad)
                self.assertEqual((row["row"]["price"], row["code"]), (-1, code))
                self.assertIn("Code", row["message"])
            self.retry(server, recorder, name, rows, bad)

    def retry(self, server, recorder, name, rows, bad):
        """Not mended: the rows stay. Mended: they arrive, once."""
        again = recorder.run("coldpath", "quarantine", "retry", name, "--json")
        self.assertEqual(again.returncode, 1, again)
        self.assertEqual(self.listing(recorder, name)["rows"], len(bad))
        server.query(f"ALTER TABLE test.{name} DROP CONSTRAINT IF EXISTS sound")
        server.query(f"ALTER TABLE test.{name} DROP COLUMN IF EXISTS checked")
        done = recorder.run("coldpath", "quarantine", "retry", name, "--json")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(json.loads(done.stdout)["tables"][0]["delivered"], len(bad))
        self.assertEqual(self.listing(recorder, name)["rows"], 0)
        self.check_held(server, name, list(range(rows)))
        audit = recorder.run("coldpath", "audit")
        self.assertEqual(audit.returncode, 0, audit)

    def test_named_rows(self):
        self.large("named", "ADD CONSTRAINT sound CHECK price > 0", 1000, ROWS, 469)

    def test_named_rows_critical(self):
        self.large("named", "ADD CONSTRAINT sound CHECK price > 0", 100, 100_000, 469, **{"class": "critical"})

    def test_rows_without_a_name(self):
        self.large("blind", "ADD COLUMN checked UInt8 MATERIALIZED throwIf(price < 0)", 50, 50_000, 395)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    print(f"seed: CP_SEED={SEED}", file=sys.stderr)
    unittest.main(verbosity=2)
