"""The canary: rows of the recorder's own, followed from put to ClickHouse, with a real recorder and the embedded engine: what is said
of them in status, metrics and the page's document; an outage, a kill and a refusal in between; and that every row put arrives once."""

import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest
import urllib.request

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

INTERVAL = 0.1  # of the canaries here
PATIENCE = 30  # for what has to happen at some time
QUOTE = b'{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "bid_px": "1", "ask_px": "2"}\n'


def settings(kind):
    table = {"class": kind, "ring_size": "64KiB", "slots": 1, "flush": {"interval": "50ms"}}
    extra = {"canary": {"interval": f"{round(INTERVAL * 1000)}ms", "limit": "1s"}, "monitor": {"listen": "127.0.0.1:0"},
             "clickhouse": {"retry_min": "50ms", "retry_max": "200ms", "connect_timeout": "1s"}}
    return {"quotes": {}, "recorder_canary": table}, extra


class Canary(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def recorder(self, kind="lossy"):
        """With a database of its own."""
        tables, extra = settings(kind)
        recorder = Recorder(self.server, tables, database=self._testMethodName, extra=extra).__enter__()
        self.addCleanup(recorder.close)
        return recorder

    def wait_for(self, what, truth):
        deadline = time.monotonic() + PATIENCE
        while True:
            found = truth()
            if found:
                return found
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    @staticmethod
    def fetch(recorder, path):
        address = recorder.read_log().rsplit('msg="monitor" url=', 1)[1].split()[0].rstrip("/")
        with urllib.request.urlopen(address + path, timeout=20) as answer:
            return answer.read().decode()

    def metrics(self, recorder):
        lines = self.fetch(recorder, "/metrics").splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("recorder_canary")}

    def query(self, what):
        return self.server.query(f"SELECT {what} FROM {self._testMethodName}.recorder_canary").split()

    def settled(self, recorder):
        """After a clean stop ClickHouse has every row once: by number, from the first to the last that was put."""
        self.assertEqual(recorder.stop(), 0, recorder.read_log())
        canary = recorder.status()["canary"]
        rows = sorted(map(int, self.query("number")))
        self.assertEqual(rows, list(range(1, canary["put"] + 1)))
        return canary

    def followed(self, kind):
        recorder = self.recorder(kind)
        self.wait_for("ten canaries", lambda: recorder.status()["canary"]["delivered"] >= 10)
        canary = json.loads(self.fetch(recorder, "/api/v1/status"))["canary"]
        self.assertEqual((canary["interval_s"], canary["limit_s"], canary["lost"]), (INTERVAL, 1, 0))
        self.assertLessEqual(canary["delivered"], canary["durable"])
        self.assertLessEqual(canary["durable"], canary["put"])
        self.assertGreater(canary["lag_s"], 0)
        self.assertGreaterEqual(canary["delivered_p99_ms"], canary["durable_p50_ms"])
        found = self.metrics(recorder)
        self.assertEqual((found["recorder_canary_interval_seconds"], found["recorder_canary_limit_seconds"]), (INTERVAL, 1))
        for stage in ("durable", "delivered"):
            counted = found[f'recorder_canary_duration_seconds_count{{stage="{stage}"}}']
            self.assertGreaterEqual(counted, 10)
            self.assertEqual(counted, found[f'recorder_canary_duration_seconds_bucket{{stage="{stage}",le="+Inf"}}'])
        self.assertLess(abs(found["recorder_canary_arrived_timestamp_seconds"] - time.time()), PATIENCE)
        told = [line for line in recorder.run("coldpath", "status").stdout.decode().splitlines() if line.startswith("canary ")]
        self.assertEqual(len(told), 1)
        self.assertIn("from put to ClickHouse", told[0])
        self.settled(recorder)
        delivered, durable, arrived = map(int, self.query("max(delivered_us), max(durable_us), max(arrived)"))
        self.assertGreater(delivered, 0)
        self.assertGreaterEqual(delivered, durable)
        self.assertGreaterEqual(arrived, 5)

    def test_lossy(self):
        self.followed("lossy")

    def test_critical(self):
        self.followed("critical")

    def test_outage_and_kill(self):
        """While ClickHouse is away, rows go on becoming durable, their lag grows, and the canary is stale and says so; afterwards nothing
        is missing, and nothing twice, also of what a killed recorder had under way."""
        recorder = self.recorder("critical")
        self.wait_for("canaries", lambda: recorder.status()["canary"]["delivered"] >= 3)
        self.server.end(signal.SIGKILL)
        before = recorder.status()["canary"]
        self.wait_for("durable ones", lambda: recorder.status()["canary"]["durable"] >= before["durable"] + 5)
        status = self.wait_for("staleness", lambda: (lambda s: s["canary"]["stale"] and s)(recorder.status()))
        self.assertLessEqual(status["canary"]["delivered"], before["delivered"] + 2)  # that were under way
        self.assertTrue([reason for reason in status["reasons"] if re.search("canary is stale.*(reasons before this one|coldpath doctor)", reason)], status)
        self.assertGreater(status["canary"]["lag_s"], 0.5)
        self.assertIn("canary is stale", recorder.run("coldpath", "status").stdout.decode())
        found = self.metrics(recorder)
        self.assertGreater(time.time() - found["recorder_canary_arrived_timestamp_seconds"], found["recorder_canary_limit_seconds"])
        recorder.stop(signal.SIGKILL)
        self.server.start()
        recorder.settings["clickhouse"]["url"] = self.server.url  # its port is another
        recorder.write_config()
        recorder.start()
        self.wait_for("arrivals", lambda: recorder.status()["canary"]["delivered"] >= status["canary"]["delivered"] + 3)
        self.wait_for("no reason", lambda: not [reason for reason in recorder.status()["reasons"] if "canary" in reason])
        self.settled(recorder)

    def test_refused_rows_are_no_deliveries(self):
        """Rows that go to the quarantine count as lost, and the canary becomes stale: a row that arrives nowhere is none that arrived."""
        recorder = self.recorder()
        self.wait_for("canaries", lambda: recorder.status()["canary"]["delivered"] >= 3)
        self.server.query(f"ALTER TABLE {self._testMethodName}.recorder_canary ADD CONSTRAINT none CHECK number < 1")
        self.wait_for("lost ones", lambda: recorder.status()["canary"]["lost"] >= 3)
        self.wait_for("staleness", lambda: recorder.status()["canary"]["stale"])

    def test_without(self):
        """No table, no canary: no thread, and every word of it is 0."""
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, extra={"monitor": {"listen": "127.0.0.1:0"}}, init=False).start()
        self.addCleanup(recorder.close)
        self.assertIsNone(recorder.status()["canary"])
        self.assertIsNone(json.loads(self.fetch(recorder, "/api/v1/status"))["canary"])
        self.assertEqual({value for value in self.metrics(recorder).values()}, {0})
        names = {path.read_text().strip() for path in pathlib.Path(f"/proc/{recorder.process.pid}/task").glob("*/comm")}
        self.assertIn("cp-drain", names)
        self.assertNotIn("cp-canary", names)

    def test_other_columns(self):
        """A table of that name with other columns: told in the log, and rows are recorded all the same."""
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False)
        self.addCleanup(recorder.close)
        ddl = recorder.work / "other.sql"
        ddl.write_text("CREATE TABLE recorder_canary (a UInt64) ENGINE = MergeTree ORDER BY a")
        recorder.settings["tables"]["recorder_canary"] = {"ddl": str(ddl)}
        recorder.write_config()
        recorder.start()
        self.assertIn('msg="no canary"', recorder.read_log())
        self.assertIn("has other columns", recorder.read_log())
        recorder.run("coldpath", "put", "quotes", input=QUOTE, check=True)
        self.assertIsNone(recorder.status()["canary"])

    def test_limits_are_checked(self):
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, extra={"canary": {"interval": "10s", "limit": "15s"}}, init=False)
        self.addCleanup(recorder.close)
        done = recorder.run("coldpath", "check")
        self.assertEqual(done.returncode, 78)
        self.assertIn("canary.limit has to be at least twice canary.interval", done.stdout.decode() + done.stderr.decode())


if __name__ == "__main__":
    if not engine_present():
        print("skipped: the embedded engine is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
