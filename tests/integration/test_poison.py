"""Rows that ClickHouse refuses: the good ones around them arrive, once, and they go to the quarantine with the reason, from
where `coldpath quarantine retry` delivers them after the table is mended. Also with the recorder killed at random and at every
fail point while it looks for them. $CP_SEED, $CP_SECONDS of killing (default 10), $CP_ROWS of the large run."""

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

SECONDS = float(os.environ.get("CP_SECONDS") or 10)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
ROWS = int(os.environ.get("CP_ROWS") or 200_000)
BAD_SHARE = 1000  # every so many rows of the large run a bad one, at random
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
        self.large("named", "ADD CONSTRAINT sound CHECK price > 0", ROWS // BAD_SHARE, ROWS, 469)

    def test_named_rows_critical(self):
        self.large("named", "ADD CONSTRAINT sound CHECK price > 0", 100, 100_000, 469, **{"class": "critical"})

    def test_rows_without_a_name(self):
        self.large("blind", "ADD COLUMN checked UInt8 MATERIALIZED throwIf(price < 0)", 50, 50_000, 395)

    def test_more_partitions_than_an_insert_may_have(self):
        rows = 250
        with ChdbServer() as server, Recorder(server, settings(self.directory.name, "spread"), extra=FAST) as recorder:
            server.query("DROP TABLE test.spread")
            server.query(DDL.format(name="test.spread").replace("ORDER BY id", "PARTITION BY id ORDER BY id"))
            put(recorder, "spread", ((number, 1) for number in range(rows)))
            status = recorder.wait_delivered(timeout=60)["tables"][0]
            self.check_held(server, "spread", list(range(rows)))
            self.assertEqual((status["rows_delivered"], status["rows_quarantined"]), (rows, 0))

    def keep_putting(self, recorder, name, first, end, put_rows):
        """Rows first, first + 1 … in small lots, each tenth lot with a few bad ones, until end is set."""
        chance = random.Random(SEED + first)
        number = first
        while not end.is_set():
            lot = chance.choice((1, 50, 2000))
            rate = chance.choice((0, 0, 0.002, 0.03))
            rows = [(number + i, -1 if chance.random() < rate else 1) for i in range(lot)]
            put(recorder, name, rows)
            put_rows += rows
            number += lot
            time.sleep(0.05)

    def die_at(self, recorder, point, chance):
        """Lets the recorder run until it passes the point for the n-th time; False when it has not within half a second."""
        recorder.extra_environment = {"COLDPATH_FAILPOINT": f"{point}:{chance.choice((1, 1, 2, 5, 20))}"}
        try:
            recorder.start()
        except RuntimeError:  # it died before it was ready
            pass
        recorder.extra_environment = {}
        try:
            recorder.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return recorder.process.returncode == -signal.SIGKILL

    def kill_for(self, recorder, seconds, chance):
        points = [point for point in recorder.failpoints()
                  if point.startswith(("piece.", "quarantine.", "lane.", "log.checkpointed", "resume."))]
        kills = collections.Counter()
        end = time.monotonic() + seconds
        recorder.stop(signal.SIGKILL)
        while time.monotonic() < end:
            point = chance.choice(points) if points and chance.random() < 0.85 else None
            if point and self.die_at(recorder, point, chance):
                kills[point] += 1
            else:
                if recorder.process is None or recorder.process.poll() is not None:
                    recorder.start()
                time.sleep(chance.uniform(0, 0.2))
                kills["random"] += 1
            recorder.stop(signal.SIGKILL)
        recorder.start()
        return kills

    def killed(self, name, clause, **more):
        """Rows good and bad from two producers while the recorder is killed; then the retry is killed as well."""
        chance = random.Random(SEED)
        with ChdbServer() as server, Recorder(server, settings(self.directory.name, name, **more), extra=FAST) as recorder:
            server.query(f"ALTER TABLE test.{name} {clause}")
            end = threading.Event()
            lots = [[], []]
            producers = [threading.Thread(target=self.keep_putting, args=(recorder, name, first, end, rows))
                         for first, rows in zip((0, 10_000_000), lots)]
            for producer in producers:
                producer.start()
            try:
                kills = self.kill_for(recorder, SECONDS, chance)
            finally:
                end.set()
                for producer in producers:
                    producer.join()
            rows = lots[0] + lots[1]
            bad = [number for number, price in rows if price < 0]
            status = recorder.wait_delivered(timeout=120)["tables"][0]
            print(f"{name}: {dict(kills)}; {len(bad)} bad rows of {len(rows)}, {status['insert_attempts']} sends",
                  file=sys.stderr)
            self.assertTrue(status["balanced"], status)
            self.check_held(server, name, sorted(number for number, price in rows if price > 0))
            self.assertEqual(self.listing(recorder, name)["rows"], len(bad))
            self.assertEqual(status["rows_quarantined"], len(bad), status)
            server.query(f"ALTER TABLE test.{name} MODIFY COLUMN price Int32 COMMENT 'half mended'")
            self.retry_killed(server, recorder, name, chance)
            self.check_held(server, name, sorted(number for number, _ in rows))

    def retry_killed(self, server, recorder, name, chance):
        """The table is mended while retries are killed."""
        for round in range(8):
            point = chance.choice(("retry.prepared", "retry.delivered", "piece.sent", "piece.replied", "quarantine.added",
                                   "quarantine.done", "batch.sent", "batch.replied"))
            if round == 4:
                server.query(f"ALTER TABLE test.{name} DROP CONSTRAINT IF EXISTS sound")
                server.query(f"ALTER TABLE test.{name} DROP COLUMN IF EXISTS checked")
            recorder.extra_environment = {"COLDPATH_FAILPOINT": f"{point}:{chance.choice((1, 2, 3, 20))}"}
            recorder.run("coldpath", "quarantine", "retry", name)
            recorder.extra_environment = {}
        recorder.run("coldpath", "quarantine", "retry", name)
        again = recorder.run("coldpath", "quarantine", "retry", name)
        self.assertEqual(again.returncode, 0, again)
        self.assertEqual(self.listing(recorder, name)["rows"], 0)

    def test_killed_lossy(self):
        self.killed("lossy", "ADD CONSTRAINT sound CHECK price > 0")

    def test_killed_critical(self):
        self.killed("critical", "ADD COLUMN checked UInt8 MATERIALIZED throwIf(price < 0)", **{"class": "critical"})


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    print(f"seed: CP_SEED={SEED}", file=sys.stderr)
    unittest.main(verbosity=2)
