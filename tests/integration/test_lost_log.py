"""Parts of a critical table's log are lost, or the configuration turns away from it: the region, which outlives the recorder,
knows what was there. What can be known is not sent twice, what is missing is named, and nothing is passed over in silence."""

import copy
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest

from tests.integration.test_given_up import HEADER, records
from tests.integration.test_replay import trades
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

TABLES = {
    "trades": {"ring_size": "1MiB", "flush": {"interval": "20ms", "rows": 500}, "class": "critical", "wal_limit": "64MiB"},
    "quotes": {"ring_size": "1MiB"},
}
DELIVERED, WAITING, CALLS = 1000, 3000, 6


class LostLog(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-lost-log-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, copy.deepcopy(TABLES),
                                 extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"},
                                        "recorder": {"stop_timeout": "1s"}})
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()
        self.log = self.recorder.work / "wal/test/trades"

    def put(self, first, count):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow", input=trades(first, count), check=True)

    def table(self):
        return next(table for table in self.recorder.status()["tables"] if table["table"] == "trades")

    def wait_in_log(self, rows):
        deadline = time.monotonic() + 20
        while (found := self.table()["rows_in_log"]) != rows and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(found, rows)

    def leave_backlog(self, number=signal.SIGKILL):
        """DELIVERED rows in ClickHouse, WAITING in the log, a batch of them under way."""
        self.put(0, DELIVERED)
        self.recorder.wait_delivered()
        self.server.end(signal.SIGKILL)
        step = WAITING // CALLS
        for first in range(DELIVERED, DELIVERED + WAITING, step):
            self.put(first, step)
        self.wait_in_log(WAITING)
        self.recorder.stop(number)

    def held(self):
        return tuple(int(n) for n in self.server.query(
            "SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.trades").split())

    def assert_all_is_there(self, rows=DELIVERED + WAITING):
        self.recorder.wait_delivered()
        self.assertEqual(self.held(), (rows, rows))
        self.assertTrue(self.recorder.status()["balanced"])
        audit = self.recorder.run("coldpath", "audit")
        self.assertEqual(audit.returncode, 0, audit.stdout)

    def refused(self):
        """What the recorder says when it does not start."""
        with self.assertRaises(RuntimeError) as raised:
            self.recorder.start()
        self.recorder.process = None
        return str(raised.exception)

    def configure(self, **tables):
        self.recorder.settings["tables"] = tables
        self.recorder.write_config()

    # ---- the checkpoint

    def check_lost_checkpoint(self, spoil):
        """The rings say what is delivered, the intent which batch was under way: all of it arrives once."""
        self.leave_backlog()
        spoil(self.log / "checkpoint")
        self.server.start()
        self.recorder.start()
        self.assert_all_is_there()
        self.assertIn("the log's checkpoint is lost", self.recorder.read_log())

    def test_checkpoint_is_missing(self):
        self.check_lost_checkpoint(os.unlink)

    def test_checkpoint_is_damaged(self):
        def garble(path):
            data = bytearray(path.read_bytes())
            data[100] ^= 1  # of one of its two blocks
            data[4196] ^= 1
            path.write_bytes(data)

        self.check_lost_checkpoint(garble)

    def test_checkpoint_and_region_are_lost(self):
        """Nobody knows what ClickHouse has: everything is sent again, and the account of the new region holds."""
        self.leave_backlog()
        (self.log / "checkpoint").unlink()
        shutil.rmtree(self.recorder.region)
        self.server.start()
        self.recorder.start()
        self.put(DELIVERED + WAITING, 10)
        self.recorder.wait_delivered()
        self.assertEqual(self.held()[1], DELIVERED + WAITING + 10)
        self.assertTrue(self.recorder.status()["balanced"])

    # ---- a segment

    def test_newest_segment_is_lost(self):
        """Nothing on the disk tells that it was there; the region does."""
        self.leave_backlog()
        self.recorder.start()  # which begins a segment
        self.put(DELIVERED + WAITING, 500)
        self.wait_in_log(WAITING + 500)
        self.recorder.stop(signal.SIGKILL)
        segments = json.loads(self.recorder.run("coldpath", "wal", "ls", "--json").stdout)["tables"][0]["segments"]
        (self.log / next(s["file"] for s in segments if s["state"] == "newest")).unlink()
        self.server.start()
        said = self.refused()
        self.assertIn("were acknowledged and are damaged or missing", said)
        self.assertIn("coldpath wal repair", said)
        self.assertEqual(self.recorder.run("coldpath", "wal", "verify").returncode, 2)
        self.assertEqual(self.recorder.run("coldpath", "wal", "repair", "trades", "--yes").returncode, 0)
        self.assertEqual(self.recorder.run("coldpath", "wal", "verify").returncode, 0)
        self.recorder.start()
        self.recorder.wait_delivered()
        table = self.table()
        self.assertEqual(table["rows_given_up"], 500)
        self.assertEqual(self.held(), (DELIVERED + WAITING, DELIVERED + WAITING))
        self.assertTrue(table["balanced"])

    def test_all_that_waited_is_damaged(self):
        """Repair gives up every record, the batch under way with them: the recorder goes on behind them."""
        self.leave_backlog()
        for path in self.log.glob("*.seg"):
            data = bytearray(path.read_bytes())
            for at, *_ in records(path):
                data[at + HEADER + 12] ^= 1
            path.write_bytes(data)
        self.assertEqual(self.recorder.run("coldpath", "wal", "repair", "trades", "--yes").returncode, 0)
        self.server.start()
        self.recorder.start()
        self.put(DELIVERED + WAITING, 10)
        self.recorder.wait_delivered()
        self.assertEqual(self.held(), (DELIVERED + 10, DELIVERED + 10))
        table = self.table()
        self.assertEqual((table["rows_given_up"], table["balanced"]), (WAITING, True))
        self.assertEqual(self.recorder.run("coldpath", "flush", "--wait", "--timeout", "10s").returncode, 0)

    # ---- the configuration

    def test_configuration_turns_away(self):
        """A table whose log holds rows is not removed, not made lossy, not given other rings."""
        self.leave_backlog(signal.SIGTERM)
        tables = copy.deepcopy(TABLES)
        others = ({"quotes": tables["quotes"]},
                  tables | {"trades": {"ring_size": "1MiB", "flush": TABLES["trades"]["flush"]}},
                  tables | {"trades": TABLES["trades"] | {"ring_size": "2MiB"}})
        for other in others:
            self.configure(**other)
            said = self.refused()
            self.assertIn(f"its log holds {WAITING} rows that ClickHouse does not have", said)
            done = self.recorder.run("coldpath", "init", "--no-tables")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(b"run the recorder with the old configuration", done.stderr)
        self.configure(**tables)
        self.server.start()
        self.recorder.start()
        self.assert_all_is_there()
        for other in others:
            self.assertEqual(self.recorder.stop(), 0)
            self.configure(**other)
            self.recorder.start()

    def test_log_is_elsewhere(self):
        """Moved away or not mounted: said at once, the rows stay counted, and arrive when the log is back."""
        self.leave_backlog()
        here = self.recorder.work / "wal"
        os.rename(here, self.recorder.work / "away")
        self.server.start()
        self.recorder.start()
        self.assertIn("rows are in another log", self.recorder.read_log())
        self.put(DELIVERED + WAITING, 10)
        deadline = time.monotonic() + 20
        while self.held()[0] != DELIVERED + 10 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.held()[0], DELIVERED + 10)
        self.wait_in_log(WAITING)
        done = self.recorder.run("coldpath", "flush", "--wait", "--timeout", "1s")
        self.assertEqual(done.returncode, 1, "not all is delivered")
        self.assertEqual(self.recorder.stop(), 0)
        shutil.rmtree(here)
        os.rename(self.recorder.work / "away", here)
        self.recorder.start()
        self.assert_all_is_there(DELIVERED + WAITING + 10)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
