"""Tables that ClickHouse does not take: parked, said in status, asked again now and then and at once when somebody asks, while the
others go on; mended, their rows arrive, once. A full quarantine parks its table, too."""

import json
import sys
import tempfile
import time
import unittest

from tests.integration.test_poison import put, settings
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SLOW = {"clickhouse": {"retry_min": "200ms", "retry_max": "60s"}}


class Parked(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="coldpath-parked-")
        self.addCleanup(self.directory.cleanup)
        self.server = ChdbServer().__enter__()
        self.addCleanup(self.server.__exit__)

    def tables(self, **more):
        return settings(self.directory.name, "sound") | settings(self.directory.name, "sick", **more)

    def table(self, recorder, name):
        return next(table for table in recorder.status()["tables"] if table["table"] == name)

    def wait(self, what, timeout=20):
        deadline = time.monotonic() + timeout
        while not (found := what()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        return found

    def missing(self, **more):
        with Recorder(self.server, self.tables(**more), extra=SLOW) as recorder:
            self.server.query("RENAME TABLE test.sick TO test.away")
            put(recorder, "sick", [(number, 1) for number in range(1000)])
            parked = self.wait(lambda: self.table(recorder, "sick")["parked"])
            self.assertEqual((parked["code"], parked["remedy"]), (60, "the table is missing: coldpath schema apply makes it"))
            self.assertLess(abs(time.time() - parked["since"]), 60)
            self.assertEqual(recorder.status()["recorder"]["clickhouse"], "degraded")
            text = recorder.run("coldpath", "status")
            self.assertEqual(text.returncode, 2)
            self.assertIn(b"sick: parked", text.stdout)
            for lot in range(5):  # nobody else waits
                put(recorder, "sound", [(lot * 1000 + number, 1) for number in range(1000)])
                began = time.monotonic()
                self.wait(lambda: self.table(recorder, "sound")["rows_delivered"] == (lot + 1) * 1000)
                self.assertLess(time.monotonic() - began, 5)
            # The pauses grow; whoever has mended it need not wait.
            self.wait(lambda: (self.table(recorder, "sick")["parked"] or {}).get("next_probe_s", 0) > 2, timeout=60)
            self.assertEqual(self.table(recorder, "sick")["rows_delivered"], 0)
            self.server.query("RENAME TABLE test.away TO test.sick")
            began = time.monotonic()
            recorder.run("coldpath", "flush", "--wait", check=True)
            self.assertLess(time.monotonic() - began, 5)
            status = recorder.wait_delivered()
            self.assertEqual((self.table(recorder, "sick")["parked"], status["recorder"]["clickhouse"]), (None, "healthy"))
            self.assertEqual(self.server.query("SELECT count(), uniqExact(id) FROM test.sick"), "1000\t1000\n")

    def test_missing_lossy(self):
        self.missing()

    def test_missing_critical(self):
        self.missing(**{"class": "critical"})

    def test_refuses_everything(self):
        """No bisection of what will not be taken: a few rows go to the quarantine, the rest waits for the table to be mended."""
        with Recorder(self.server, self.tables(), extra=SLOW) as recorder:
            self.server.query("ALTER TABLE test.sick ADD CONSTRAINT sound CHECK price > 1")
            put(recorder, "sick", [(number, 1) for number in range(50_000)])
            self.wait(lambda: self.table(recorder, "sick")["parked"], timeout=60)
            put(recorder, "sound", [(number, 1) for number in range(1000)])
            self.wait(lambda: self.table(recorder, "sound")["rows_delivered"] == 1000)
            time.sleep(1)
            sick = self.table(recorder, "sick")
            self.assertLess(sick["insert_attempts"], 200)
            self.server.query("ALTER TABLE test.sick DROP CONSTRAINT sound")
            recorder.run("coldpath", "flush", "--wait", check=True)
            sick = self.table(recorder, "sick")
            self.assertEqual(sick["rows_delivered"] + sick["rows_quarantined"], 50_000)
            self.assertLess(sick["rows_quarantined"], 1500)
            self.assertGreater(sick["rows_quarantined"], 0)
            recorder.run("coldpath", "quarantine", "retry", check=True)
            self.assertEqual(self.server.query("SELECT count(), uniqExact(id) FROM test.sick"), "50000\t50000\n")

    def test_quarantine_full(self):
        """What does not fit waits in its ring; nothing is dropped."""
        extra = SLOW | {"quarantine": {"limit": "2MiB"}}
        tables = self.tables(row_max="128KiB")
        with Recorder(self.server, tables, extra=extra) as recorder:
            self.server.query("ALTER TABLE test.sick ADD CONSTRAINT sound CHECK price > 0")
            wide = "w" * 100_000
            text = "".join(f"{number},{-1 if number % 2 else 1},{wide}{number}\n" for number in range(100))
            recorder.run("coldpath", "put", "sick", "--format", "csv", input=text.encode(), check=True)
            parked = self.wait(lambda: self.table(recorder, "sick")["parked"], timeout=60)
            self.assertIn("full", parked["message"])
            self.assertTrue(self.table(recorder, "sick")["balanced"])
            self.server.query("ALTER TABLE test.sick DROP CONSTRAINT sound")
            recorder.run("coldpath", "flush", "--wait", check=True)
            held = self.table(recorder, "sick")["rows_quarantined"]
            listed = json.loads(recorder.run("coldpath", "quarantine", "ls", "sick", "--json").stdout)["tables"][0]
            self.assertEqual(listed["rows"], held)
            self.assertLessEqual(listed["bytes"], 2 << 20)
            recorder.run("coldpath", "quarantine", "retry", "sick", check=True)
            self.assertEqual(self.server.query("SELECT count(), uniqExact(id) FROM test.sick"), "100\t100\n")

    def test_drop(self):
        with Recorder(self.server, self.tables(), extra=SLOW) as recorder:
            self.server.query("ALTER TABLE test.sick ADD CONSTRAINT sound CHECK price > 0")
            put(recorder, "sick", [(1, 1), (2, -1), (3, 1)])
            recorder.wait_delivered()
            for refused in ((), ("--yes",), ("--confirm=sick",), ("--yes", "--confirm=well")):
                self.assertEqual(recorder.run("coldpath", "quarantine", "drop", "sick", *refused).returncode, 64, refused)
            trash = recorder.work / "quarantine/test/trash"
            trash.mkdir(mode=0o700)
            (trash / "sick.1.dropped").touch()  # of 1970: kept long enough
            recorder.run("coldpath", "quarantine", "drop", "sick", "--yes", "--confirm=sick", check=True)
            listed = json.loads(recorder.run("coldpath", "quarantine", "ls", "sick", "--json").stdout)["tables"][0]
            self.assertEqual(listed["rows"], 0)
            kept, = trash.iterdir()
            self.assertGreater(int(kept.name.split(".")[1]), 1)
            again = recorder.run("coldpath", "quarantine", "drop", "sick", "--yes", "--confirm=sick")
            self.assertEqual((again.returncode, b"no rows in quarantine" in again.stderr), (69, True), again.stderr)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
