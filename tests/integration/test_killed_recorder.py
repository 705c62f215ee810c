"""The recorder is killed with SIGKILL again and again while producers put, at random moments and at each of its fail
points, and ClickHouse with it now and then: every row arrives, once. A batch that was under way is sent again under its old token; ClickHouse knows it. $CP_SECONDS: how
long (default 12), $CP_SEED."""

import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from tests.integration.test_restarts import Feeder, start_producer
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 12)
# The rings hold what is not delivered: with early release a recorder that is dead most of the time would lose rows, as it says it does
# (test_pressure.py).
HELD = {"early_release": "off"}
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
TABLES = {
    "quotes": {"ring_size": "4MiB", "pressure": HELD, "flush": {"interval": "20ms", "rows": 2000}},
    "l2_updates": {"ring_size": "8MiB", "pressure": HELD, "flush": {"interval": "20ms", "rows": 5000}},
    "trades": {"ring_size": "1MiB", "pressure": HELD, "flush": {"interval": "50ms"}},
}


CRITICAL = {name: settings | {"class": "critical", "wal_limit": "256MiB"} for name, settings in TABLES.items()}

# Points that these tables do not pass: of other programs and occasions, with tests of their own (test_restarts.py,
# test_given_up.py, test_poison.py).
ELSEWHERE = ("region.", "batch.held", "held.", "repair.", "piece.", "quarantine.")
SMALL_SEGMENTS = {"segment_size": "2MiB"}  # so that they are filled, released and used again all the time


class MortalProducers(threading.Thread):
    """One `coldpath put` after another, each killed at a random moment while it puts rows whose every column follows from
    run and number."""

    def __init__(self, recorder, chance):
        super().__init__()
        self.recorder = recorder
        self.chance = random.Random(chance.random())
        self.runs = 0
        self.end = threading.Event()

    def run(self):
        while not self.end.is_set():
            process = start_producer(self.recorder, self.runs)
            feeder = Feeder(process, self.runs, 0.001)
            feeder.start()
            self.end.wait(self.chance.uniform(0.02, 0.5))
            process.kill()
            feeder.join()
            process.wait()
            process.stdout.close()
            process.stderr.close()
            self.runs += 1


class KilledRecorder(unittest.TestCase):
    def produce(self, recorder, seed, results):
        done = recorder.run("coldpath-market", "--region", recorder.region, "--synthetic", "--rate", "60000", "--seed", seed,
                            "--seconds", int(SECONDS), "--json", timeout=SECONDS + 120)
        results.append((done.returncode, done.stdout, done.stderr))

    def die_at(self, recorder, point, chance):
        """Lets the recorder run until it passes the point for the n-th time; False when it has not within half a second."""
        recorder.extra_environment = {"COLDPATH_FAILPOINT": f"{point}:{chance.choice((1, 1, 2, 3, 7))}"}
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

    def kill_until(self, recorder, server, chance, end):
        elsewhere = ELSEWHERE + (() if "wal" in recorder.settings else ("log.", "wal."))
        points = [point for point in recorder.failpoints() if not point.startswith(elsewhere)]
        kills = collections.Counter()
        recorder.stop(signal.SIGKILL)
        last = None
        while time.monotonic() < end:
            point = points[sum(kills.values()) % len(points)] if points and chance.random() < 0.7 else None
            if points and last in ("lane.prepared", "batch.sent", "batch.replied"):  # an intent is left: die taking it up
                point = chance.choice(("resume.read", "resume.done"))
            last = point
            if point and self.die_at(recorder, point, chance):
                kills[point] += 1
            else:
                if recorder.process is None or recorder.process.poll() is not None:
                    recorder.start()
                time.sleep(chance.uniform(0, 0.1))
                kills["random"] += 1
            recorder.stop(signal.SIGKILL)
            if chance.random() < 0.05:
                server.end(signal.SIGKILL)
                server.start()
                kills["clickhouse"] += 1
        recorder.start()
        return kills

    def test_lossy_tables(self):
        self.run_with(TABLES)

    def test_critical_tables(self):
        self.run_with(CRITICAL)

    def run_with(self, tables):
        chance = random.Random(SEED)
        print(f"seed: CP_SEED={SEED}", file=sys.stderr)
        path = tempfile.mkdtemp(prefix="coldpath-kill-")
        with ChdbServer(path=path) as server:
            server.args = ["--port", str(server.port)]
            extra = {"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}, "recorder": {"memory_limit": "32MiB"}}
            if tables is CRITICAL:
                extra["wal"] = SMALL_SEGMENTS
            with Recorder(server, tables, extra=extra) as recorder:
                results = []
                producers = [threading.Thread(target=self.produce, args=(recorder, seed, results)) for seed in (1, 2)]
                for producer in producers:
                    producer.start()
                mortals = MortalProducers(recorder, chance)
                mortals.start()
                kills = self.kill_until(recorder, server, chance, time.monotonic() + SECONDS)
                mortals.end.set()
                mortals.join()
                kills["producer"] = mortals.runs
                for producer in producers:
                    producer.join()
                self.assertEqual([result[0] for result in results], [0, 0], results)
                try:
                    status = recorder.wait_delivered()
                except AssertionError:
                    for table in tables:
                        print(table, server.query("SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM"
                                                  f" test.{table}"), file=sys.stderr)
                    raise
                self.assertTrue(status["balanced"], status)
                resumed = recorder.read_log().count("is sent again")
                put = {table["table"]: table["rows_put"] for table in status["tables"]}
                print(f"kills {dict(kills)}, batches taken up {resumed}, rows {put}", file=sys.stderr)
                self.assertGreater(sum(kills.values()), 10)
                for table, rows in put.items():
                    with self.subTest(table=table):
                        held, distinct = server.query(
                            "SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM"
                            f" test.{table}").split()
                        self.assertEqual((int(held), int(distinct)), (rows, rows))
                self.check_contents(server)

    def check_contents(self, server):
        """What the killed producers put: every column is what it was, and each run is a whole beginning in its order."""
        wrong = server.query("SELECT count() FROM test.quotes WHERE venue = 'test' AND NOT ("
                             " toUnixTimestamp64Nano(recv_ts) = 1700000000000000000 + update_id * 1000 AND exch_ts IS NULL"
                             " AND bid_px = 100.5 AND bid_qty = 1 AND ask_px = toDecimal64('100.6', 8)"
                             " AND ask_qty = update_id % 7)")
        self.assertEqual(int(wrong), 0)
        broken = server.query("SELECT count() FROM (SELECT symbol, groupArray(update_id) AS numbers FROM (SELECT symbol,"
                              " update_id FROM test.quotes WHERE venue = 'test' ORDER BY symbol, _cp_position) GROUP BY symbol"
                              " HAVING numbers != range(length(numbers)))")
        self.assertEqual(int(broken), 0)
        self.assertGreater(int(server.query("SELECT uniqExact(symbol) FROM test.quotes WHERE venue = 'test'")), 1)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
