"""Rows that `coldpath wal repair` gives up leave the log in the ledger too: exactly those, once, whether repair is killed on its
way or not; the rest arrives, and the account balances."""

import json
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from tests.integration.test_replay import trades
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

TABLES = {"trades": {"ring_size": "1MiB", "flush": {"interval": "20ms", "rows": 500, "max_rows": 2000}, "class": "critical",
                     "wal_limit": "64MiB"}}
DELIVERED, WAITING, CALLS = 1000, 8000, 8
HEADER = 128  # of a record in the log
MAGIC = b"CWLR"


def records(path):
    """(offset, LSN, payload bytes, rows) of every record in a segment file."""
    data = path.read_bytes()
    found = []
    at = data.find(MAGIC, 8192)
    while at >= 0:
        size, _, rows = struct.unpack_from("<III", data, at + 72)
        if at % 8 == 0 and size:
            found.append((at, struct.unpack_from("<Q", data, at + 8)[0], size, rows))
        at = data.find(MAGIC, at + 8)
    return found


class GivenUp(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-given-up-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}})
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()
        self.log = self.recorder.work / "wal/test/trades"

    def put(self, first, count):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow", input=trades(first, count), check=True)

    def table(self):
        return self.recorder.status()["tables"][0]

    def leave_backlog(self):
        self.put(0, DELIVERED)
        self.recorder.wait_delivered()
        self.server.end(signal.SIGKILL)
        step = WAITING // CALLS
        for first in range(DELIVERED, DELIVERED + WAITING, step):
            self.put(first, step)
        deadline = time.monotonic() + 20
        while self.table()["rows_in_log"] < WAITING and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.table()["rows_in_log"], WAITING)
        time.sleep(0.2)  # the last record is stated durable by a mark
        self.recorder.stop(signal.SIGKILL)

    def damage(self):
        """Spoils a record that waits, in its midst; how many rows are in it."""
        delivered = json.loads(self.recorder.run("coldpath", "wal", "ls", "--json").stdout)["tables"][0]["delivered_lsn"]
        waiting = [(path, *record) for path in sorted(self.log.glob("*.seg")) for record in records(path)
                   if record[1] > delivered + 3 and record[3]]
        path, at, _, size, rows = waiting[len(waiting) // 2]
        with open(path, "r+b") as file:
            file.seek(at + HEADER + size // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 0xFF]))
        return rows

    def repair(self, failpoint=None):
        if failpoint is None:
            return self.recorder.run("coldpath", "wal", "repair", "trades", "--yes", "--json", timeout=60)
        return subprocess.run([str(self.recorder.build / "bin/coldpath"), "wal", "repair", "trades", "--yes"],
                              env=self.recorder.environment() | {"COLDPATH_FAILPOINT": failpoint}, capture_output=True,
                              timeout=60).returncode

    def check(self, lost):
        self.server.start()
        self.recorder.start()
        status = self.recorder.wait_delivered()
        table = status["tables"][0]
        put = DELIVERED + WAITING
        self.assertTrue(status["balanced"], status)
        self.assertEqual((table["rows_put"], table["rows_given_up"], table["rows_delivered"]), (put, lost, put - lost))
        held = self.server.query("SELECT count(), uniqExact(trade_id) FROM test.trades").split()
        self.assertEqual(held, [str(put - lost)] * 2)
        self.recorder.restart()
        self.assertEqual(self.table()["rows_given_up"], lost)
        self.put(put, 100)
        self.recorder.wait_delivered()

    def test_given_up_rows_are_booked_once(self):
        self.leave_backlog()
        lost = self.damage()
        done = self.repair()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.recorder.start()  # ClickHouse is still away: booked before anything is delivered
        table = self.table()
        self.assertEqual((table["rows_given_up"], table["rows_in_log"]), (lost, WAITING - lost))
        self.recorder.stop(signal.SIGKILL)
        self.check(lost)

    def purge(self, *args, code=0):
        done = self.recorder.run("coldpath", "purge", "trades", *args, "--json")
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def test_purged_rows_are_booked(self):
        self.leave_backlog()
        log, = json.loads(self.recorder.run("coldpath", "wal", "ls", "--json").stdout)["tables"]
        lo = max([log["delivered_lsn"], *(intent["hi"] for intent in log["checkpoint"]["intents"])]) + 1
        hi, sure = log["end_lsn"] - 1, ("--yes", "--confirm=trades")
        self.assertLess(lo, hi)
        plan = self.purge("--range", f"{lo}-{hi}", code=2)
        self.assertGreater(plan["rows"], 0)
        self.assertFalse(plan["done"])
        self.assertFalse((self.log / "trash").exists())
        for refused in (("--yes",), ("--yes", "--confirm=quotes"), ("--before", "yesterday"), ("--range", "5")):
            self.purge("--range", f"{lo}-{hi}", *refused, code=64)
        self.purge(*sure, code=64)
        self.assertIn("are there and not delivered", self.purge("--range", f"{lo}-{hi + 2}", *sure, code=1))
        self.assertIn("holds nothing of before that time", self.purge("--before", "2020-01-01", *sure, code=1))
        (self.log / "trash").mkdir()
        (self.log / "trash/000000.seg-1.1.purged").touch()  # of 1970: kept long enough
        done = self.purge("--range", f"{lo}-{hi}", *sure)
        self.assertEqual((done["done"], done["rows"], done["trash_deleted"]), (True, plan["rows"], 1))
        self.assertTrue(list((self.log / "trash").glob("*.purged")))
        self.assertEqual(self.recorder.run("coldpath", "wal", "verify").returncode, 0)
        self.check(done["rows"])
        self.assertIn("is in use by a recorder", self.purge("--range", f"{lo}-{hi}", *sure, code=69))

    def test_a_killed_repair_is_repeated(self):
        """At each of its fail points, on copies of one damaged log: what comes out is what an undisturbed repair makes."""
        points = [point for point in self.recorder.failpoints() if point.startswith("repair.")]
        self.leave_backlog()
        lost = self.damage()
        pristine = self.recorder.work / "pristine"
        shutil.copytree(self.log, pristine)
        results = set()
        for point in [None, *points]:
            shutil.rmtree(self.log)
            shutil.copytree(pristine, self.log)
            if point:
                self.assertEqual(self.repair(point), -signal.SIGKILL, point)
            done = self.repair()
            self.assertEqual(done.returncode, 0, (point, done.stderr))
            results.add(tuple(sorted((lsn, size, rows) for path in self.log.glob("*.seg")
                                     for _, lsn, size, rows in records(path))))
            self.assertFalse(list(self.log.glob("*.tmp")), point)
            verified = self.recorder.run("coldpath", "wal", "verify", "trades", "--json")
            self.assertEqual(verified.returncode, 0, (point, verified.stdout))
        self.assertEqual(len(results), 1)
        self.check(lost)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
