"""A producer follows its rows: cp_wait for durable and delivered, from a real producer, through a real recorder, into the embedded
engine; with ClickHouse away, with the recorder killed, with the region replaced. And reading the durable position is no
system call: it is done under a filter that kills at the first one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

OK, TIMEOUT, RETIRED = 0, -12, -13
FLUSH = {"interval": "20ms", "rows": 500}
CRITICAL = {"ring_size": "1MiB", "flush": FLUSH, "class": "critical", "wal_limit": "64MiB"}
LOSSY = {"ring_size": "1MiB", "flush": FLUSH}


class Wait(unittest.TestCase):
    def start(self, trades):
        path = tempfile.TemporaryDirectory(prefix="coldpath-wait-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, {"trades": trades},
                                 extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"},
                                        "recorder": {"stop_timeout": "1s"}})
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()

    def popen(self, stage, rows, timeout_ms, *more):
        return self.recorder.popen("put_and_wait", str(self.recorder.region), stage, str(rows), str(timeout_ms),
                                   *map(str, more), stdout=subprocess.PIPE, text=True)

    def put_and_wait(self, *args):
        process = self.popen(*args)
        out = process.communicate(timeout=120)[0]
        self.assertEqual(process.returncode, 0)
        return json.loads(out)

    def held(self):
        return tuple(int(n) for n in self.server.query("SELECT count(), uniqExact(trade_id) FROM test.trades").split())

    def test_each_row_of_a_critical_table(self):
        self.start(CRITICAL)
        durable = self.put_and_wait("durable", 300, 10000, "each")
        self.assertEqual(durable["rc"], OK)
        self.assertGreaterEqual(durable["durable"], durable["position"])
        delivered = self.put_and_wait("delivered", 20, 10000, "each")
        self.assertEqual(delivered["rc"], OK)
        self.assertEqual(delivered["delivered"], delivered["position"])
        self.assertEqual(self.held()[0], 320)
        # Delivery waits for a batch's interval; durability does not.
        self.assertGreater(delivered["p50_us"], 10_000)
        self.assertLess(durable["p50_us"], delivered["p50_us"])

    def test_clickhouse_away(self):
        self.start(CRITICAL)
        self.server.end(signal.SIGKILL)
        durable = self.put_and_wait("durable", 1000, 10000)
        self.assertEqual((durable["rc"], durable["delivered"]), (OK, 0))
        away = self.put_and_wait("delivered", 1000, 700, 1000)
        self.assertEqual(away["rc"], TIMEOUT)
        self.assertTrue(0.7 <= away["seconds"] < 10, away)
        self.assertGreaterEqual(away["durable"], away["position"])
        waiter = self.popen("delivered", 0, 60000)  # an unlimited patience, and the server comes back meanwhile
        time.sleep(0.3)
        self.assertIsNone(waiter.poll())
        self.server.start()
        answer = json.loads(waiter.communicate(timeout=60)[0])
        self.assertEqual((answer["rc"], answer["delivered"]), (OK, away["position"]))
        self.assertEqual(self.held(), (2000, 2000))

    def test_durable_means_durable(self):
        """What was said to be durable arrives, though recorder and shared memory are gone before ClickHouse saw a row."""
        self.start(CRITICAL)
        self.server.end(signal.SIGKILL)
        self.assertEqual(self.put_and_wait("durable", 5000, 10000)["rc"], OK)
        self.recorder.stop(signal.SIGKILL)
        shutil.rmtree(self.recorder.region)
        self.server.start()
        self.recorder.start()
        deadline = time.monotonic() + 60
        while self.held()[1] < 5000 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.held(), (5000, 5000))

    def test_lossy_table(self):
        """Without a log, durable means in ClickHouse."""
        self.start(LOSSY)
        self.assertEqual(self.put_and_wait("durable", 10, 10000, "each")["rc"], OK)
        self.assertEqual(self.held(), (10, 10))
        self.server.end(signal.SIGKILL)
        for stage in ("durable", "delivered"):
            away = self.put_and_wait(stage, 10, 300, 10 if stage == "durable" else 20)
            self.assertEqual(away["rc"], TIMEOUT, stage)
        self.server.start()
        self.assertEqual(self.put_and_wait("delivered", 0, 60000)["rc"], OK)
        self.assertEqual(self.held(), (30, 30))

    def test_no_recorder(self):
        self.start(CRITICAL)
        self.recorder.stop(signal.SIGKILL)
        self.assertEqual(self.put_and_wait("durable", 10, 200)["rc"], TIMEOUT)
        waiter = self.popen("delivered", 0, 60000)
        self.recorder.start()
        self.assertEqual(json.loads(waiter.communicate(timeout=60)[0])["rc"], OK)

    def test_region_replaced(self):
        self.start(CRITICAL)
        self.server.end(signal.SIGKILL)
        waiter = self.popen("delivered", 10, 60000)
        deadline = time.monotonic() + 20
        while self.recorder.status()["tables"][0]["rows_in_log"] < 10 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.recorder.stop(signal.SIGKILL)
        self.recorder.settings["tables"]["quotes"] = {}
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", "--no-tables", check=True)
        self.assertEqual(json.loads(waiter.communicate(timeout=30)[0])["rc"], RETIRED)

    @unittest.skipIf(os.environ.get("COLDPATH_SANITIZE"), "sanitizers make system calls of their own")
    def test_no_system_call(self):
        self.start(CRITICAL)
        quiet = self.put_and_wait("quiet", 300, 30000)
        self.assertEqual(quiet["rc"], OK)
        self.assertGreaterEqual(quiet["durable"], quiet["position"])
        noisy = self.popen("noisy", 300, 30000)  # the test of the test
        self.assertEqual((noisy.communicate(timeout=60)[0], noisy.returncode), ("", -signal.SIGSYS))


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
