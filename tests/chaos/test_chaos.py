"""Critical and lossy tables through a proxy that misbehaves by seed, while recorder and ClickHouse are killed. Two
producers a table put rows that follow from producer and number. When it is calm again: of critical tables every row is there,
once, as it was put, in each producer's order; of lossy tables whatever is there is right, there once and in order, and the ledger
accounts for the rest. Two tables have rows that ClickHouse does not take: these, and those that the proxy called bad, are in the
quarantine, and arrive when the tables have been mended. $CP_SECONDS: how long (default 15), $CP_SEED.

ClickHouse is killed by SIGKILL, which a plain MergeTree does not always survive whole: killed at the wrong moment it drops a block
as a repetition that it does not have (docs/architecture.md, Delivery), and the recorder must notice."""

import collections
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import unittest

from tests.support.chaos import ChaosProxy, RandomPlan
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 15)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
PRODUCERS = 2         # a table
ROWS_PER_WRITE = 40
PAUSE = 0.01          # between writes: 4,000 rows a second and producer
SLICE = 200_000       # rows compared at a time
DRAINED_SECONDS = 120 + 3 * SECONDS  # after calm: for a backlog, and rows that are refused one by one

# Three partitions, so that an insert is three parts, of which a killed server may have stored some.
DDL = """CREATE TABLE IF NOT EXISTS {name}
(producer LowCardinality(String), number UInt64, at DateTime64(9, 'UTC'), price Decimal(18, 8), qty Float64, note String,
 code Nullable(Int32), levels Array(UInt32), _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64{constraint})
ENGINE = MergeTree PARTITION BY number % 3 ORDER BY (producer, number)
SETTINGS non_replicated_deduplication_window = 10000"""
# Of two tables ClickHouse refuses a row now and then for what it holds.
POISON_EVERY, POISON = 1999, 7
CONSTRAINT = f", CONSTRAINT sound CHECK number % {POISON_EVERY} != {POISON}"
REFUSING = ("fills", "books")
SELECT = "producer, number, toUnixTimestamp64Nano(at), price, qty, note, code, levels"
FLUSH = {"interval": "20ms", "rows": 500}
EVENTS = ("recorder killed", "recorder killed", "recorder restarted", "ClickHouse killed", "nobody listens")
TABLES = {
    "orders": {"class": "critical", "wal_limit": "1GiB", "flush": FLUSH},
    "fills": {"class": "critical", "wal_limit": "1GiB", "flush": FLUSH | {"interval": "50ms"}},
    "ticks": {"flush": FLUSH},
    "books": {"ring_size": "4MiB", "flush": FLUSH | {"interval": "100ms", "rows": 2000}},
}
# What the ledger may count a row of a lossy table as, besides delivered.
ELSEWHERE = ("rows_rejected", "rows_suppressed", "rows_dropped", "rows_quarantined", "rows_given_up", "rows_in_ring",
             "rows_in_log")
SINK = {"retry_min": "10ms", "retry_max": "100ms", "connect_timeout": "500ms", "request_timeout": "400ms"}


def row(producer, number):
    """As ClickHouse writes it in CSV."""
    code = number % 1000 - 500 if number % 7 else r"\N"
    levels = ",".join(str(number + i) for i in range(number % 4))
    return (f'"{producer}",{number},{1_700_000_000_000_000_000 + number * 1_000_003},{number}.{number % 10 or 5},'
            f'{number / 4:.15g},"note {"x" * (number % 50)}, no ""{number}""",{code},"[{levels}]"\n')


class Producer(threading.Thread):
    """One `coldpath put`, fed little by little."""

    def __init__(self, recorder, table, name):
        super().__init__()
        self.table, self.name_of_rows, self.rows = table, name, 0
        self.end = threading.Event()
        self.process = recorder.popen("coldpath", "put", table, "--format", "CSV", "--producer", name, "--timeout", "600s",
                                      "--json", stdin=-1, stdout=-1, stderr=-1)

    def run(self):
        try:
            while not self.end.wait(PAUSE):
                numbers = range(self.rows, self.rows + ROWS_PER_WRITE)
                self.process.stdin.write("".join(row(self.name_of_rows, n) for n in numbers).encode())
                self.process.stdin.flush()
                self.rows += ROWS_PER_WRITE
        except OSError:  # its exit code tells why
            pass

    def finish(self):
        """Lets it put what it has; (exit code, its report)."""
        self.end.set()
        self.join()
        out, error = self.process.communicate(timeout=DRAINED_SECONDS)
        return self.process.returncode, out + error


class Chaos(unittest.TestCase):
    def setUp(self):
        print(f"seed: CP_SEED={SEED}", file=sys.stderr)
        path = tempfile.TemporaryDirectory(prefix="coldpath-chaos-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.addCleanup(self.server.stop)
        self.server.args = ["--port", str(self.server.port)]
        self.proxy = ChaosProxy(self.server.port).__enter__()
        self.addCleanup(self.proxy.__exit__)
        extra = {"clickhouse": SINK, "recorder": {"stop_timeout": "1s"}, "wal": {"segment_size": "8MiB"}}
        self.recorder = Recorder(self.proxy, {}, extra=extra)
        self.addCleanup(self.recorder.close)
        tables = {}
        for name, settings in TABLES.items():
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name, constraint=CONSTRAINT if name in REFUSING else ""))
            tables[name] = settings | {"ddl": str(ddl)}
        self.recorder.settings["tables"] = tables
        self.recorder.settings["wal"]["dir"] = str(self.recorder.work / "wal")
        self.recorder.write_config()
        self.recorder.__enter__()

    def rows_of(self, sql):
        return [line.split("\t") for line in self.server.query(sql).splitlines()]

    def misbehave(self, rng):
        """Faults, and kills in between; what happened."""
        done = collections.Counter()
        end = time.monotonic() + SECONDS
        self.proxy.plan = RandomPlan(rng.random())
        while time.monotonic() < end:
            time.sleep(min(rng.uniform(0.3, 4), max(end - time.monotonic(), 0)))
            what = rng.choice(EVENTS)
            done[what] += 1
            if what == "ClickHouse killed":
                self.server.end(signal.SIGKILL)
                self.server.start()
            elif what == "nobody listens":
                self.proxy.refuse(True)
                time.sleep(rng.uniform(0, 1))
                self.proxy.refuse(False)
            else:
                code = self.recorder.stop(signal.SIGKILL if what == "recorder killed" else signal.SIGTERM)
                self.assertIn(code, (0, -signal.SIGKILL), self.recorder.read_log()[-3000:])
                self.recorder.start()
        self.proxy.calm()
        return done

    def test_chaos(self):
        rng = random.Random(SEED)
        producers = [Producer(self.recorder, table, f"{table}-{p}") for table in TABLES for p in range(PRODUCERS)]
        for producer in producers:
            producer.start()
        self.addCleanup(lambda: [producer.process.kill() for producer in producers if producer.process.poll() is None])
        try:
            done = self.misbehave(rng)
        finally:
            for producer in producers:
                producer.end.set()
        for producer in producers:
            code, report = producer.finish()
            self.assertEqual(code, 0, report)
        status = self.recorder.wait_delivered(DRAINED_SECONDS)
        quarantined = {table["table"]: table["rows_quarantined"] for table in status["tables"]}
        print(f"{dict(done)}, faults {dict(self.proxy.counts)}, rows {sum(p.rows for p in producers)}, quarantined {quarantined}",
              file=sys.stderr)
        self.assertGreater(sum(self.proxy.counts.values()) - self.proxy.counts["calm"], SECONDS)
        self.check_ledger(status, producers)
        self.mend(status, producers)
        self.check_ledger(self.recorder.status(), producers)
        for producer in producers:
            with self.subTest(producer=producer.name_of_rows):
                self.check_rows(producer)

    def check_ledger(self, status, producers):
        """Every row that was put is held, or the ledger has it under another heading; in critical tables only as refused."""
        put = {table: sum(p.rows for p in producers if p.table == table) for table in TABLES}
        self.assertTrue(status["balanced"], status)
        audit = {table["table"]: table for table in
                 json.loads(self.recorder.run("coldpath", "audit", "--json").stdout)["tables"]}
        for table in status["tables"]:
            name = table["table"]
            with self.subTest(table=name):
                elsewhere = sum(table[key] for key in ELSEWHERE)
                self.assertEqual(table["rows_put"], put[name])
                self.assertEqual(table["rows_put"], table["rows_delivered"] + elsewhere, table)
                self.assertEqual((audit[name]["missing"], audit[name]["twice"]), (0, 0), audit[name])
                # Rows that were taken out early, in the batch that was under way when the recorder was killed, count as dropped,
                # though they may have arrived.
                self.assertLessEqual(audit[name]["unknown"], table["rows_dropped"], audit[name])
                if table["class"] == "critical":
                    self.assertEqual(elsewhere, table["rows_quarantined"], table)

    def mend(self, status, producers):
        """Takes the constraints away and has the refused rows sent once more: all there were, and more when the proxy lied."""
        quarantined = {table["table"]: table["rows_quarantined"] for table in status["tables"]}
        for name in REFUSING:
            numbers = [p.rows for p in producers if p.table == name]
            if TABLES[name].get("class") == "critical":
                self.assertGreaterEqual(quarantined[name], sum((n + POISON_EVERY - POISON - 1) // POISON_EVERY for n in numbers))
            self.server.query(f"ALTER TABLE test.{name} DROP CONSTRAINT sound")
        retried = json.loads(self.recorder.run("coldpath", "quarantine", "retry", "--json", check=True).stdout)
        for table in retried["tables"]:
            self.assertEqual((table["done"], table["delivered"]), (True, table["rows"]), table)

    def check_rows(self, producer):
        """Order and contents, a slice of numbers at a time."""
        whole = TABLES[producer.table].get("class") == "critical"
        where = f"FROM test.{producer.table} WHERE producer = '{producer.name_of_rows}'"
        order = "ORDER BY _cp_epoch, _cp_slot, _cp_position"
        broken = self.server.query(f"SELECT countIf(number <= before) FROM (SELECT number, lagInFrame(toInt64(number), 1, -1)"
                                   f" OVER ({order} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before {where})")
        self.assertEqual(int(broken), 0, "rows twice, or not in their order")
        for first in range(0, producer.rows, SLICE):
            held = self.server.query(f"SELECT {SELECT} {where} AND number >= {first} AND number < {first + SLICE} {order}"
                                     " FORMAT CSV").splitlines(keepends=True)
            if whole:
                numbers = range(first, min(first + SLICE, producer.rows))
            else:
                numbers = [int(line.split(",", 2)[1]) for line in held]
            for line, number in zip(held, numbers):
                if line != row(producer.name_of_rows, number):
                    self.fail(f"put {row(producer.name_of_rows, number)}held {line}")
            self.assertEqual(len(held), len(numbers))


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
