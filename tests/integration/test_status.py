"""What `coldpath status` says while things are not as they should be: how far a critical table is behind and when it will have
caught up; whether ClickHouse answers before anything was sent to it."""

import json
import re
import signal
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

FLUSH = {"interval": "20ms", "rows": 500, "max_rows": 2000}  # small batches: a backlog lasts
TABLES = {"trades": {"ring_size": "1MiB", "flush": FLUSH, "class": "critical", "wal_limit": "256MiB"}}


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


class Status(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-status-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, json.loads(json.dumps(TABLES)), extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}})
        self.addCleanup(self.recorder.close)
        self.recorder.run("coldpath", "init", check=True)

    def put(self, first, count):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow",
                          input=trades(first, count), check=True)

    def backlog(self):
        return self.recorder.status()["tables"][0]["backlog"]

    def test_backlog(self):
        self.recorder.start()
        self.put(0, 100)
        self.recorder.wait_delivered()
        self.assertIsNone(self.backlog())
        text, deadline = "", time.monotonic() + 30
        while not re.search(r"(?m)^clickhouse +healthy, last insert \S+ \w+ ago$", text) and time.monotonic() < deadline:
            text = self.recorder.run("coldpath", "status").stdout.decode()
        self.assertRegex(text, r"(?m)^clickhouse +healthy, last insert \S+ \w+ ago$")
        self.server.end(signal.SIGKILL)
        for first in range(100, 200100, 20000):
            self.put(first, 20000)
        deadline = time.monotonic() + 30
        while self.recorder.status()["tables"][0]["rows_in_ring"] and time.monotonic() < deadline:
            time.sleep(0.02)
        backlog = self.backlog()
        self.assertEqual((backlog["rows"], backlog["delivered_per_s"], backlog["seconds_left"]), (200000, 0, None))
        self.assertIn("trades: 200,000 rows wait in its log; 0 rows/s are delivered, 0 put; it does not shrink",
                      self.recorder.run("coldpath", "status").stdout.decode())
        self.server.start()
        seen = []
        begin = time.monotonic()
        while (backlog := self.backlog()) is not None and time.monotonic() - begin < 60:
            seen.append((time.monotonic(), backlog))
        moving = [(at, one) for at, one in seen if one["seconds_left"] is not None]
        self.assertTrue(moving, seen)
        rows = [one["rows"] for _, one in moving]
        self.assertEqual(rows, sorted(rows, reverse=True))
        at, one = moving[len(moving) // 2]  # the forecast is of the right size: within a factor of four of what was
        self.recorder.wait_delivered()
        took = time.monotonic() - at
        self.assertTrue(took / 4 - 1 < one["seconds_left"] < took * 4 + 1, (took, one))
        self.assertIsNone(self.backlog())

    def clickhouse(self, state, timeout=20):
        """Waits until status says so; the whole answer."""
        deadline = time.monotonic() + timeout
        while (status := self.recorder.status())["recorder"]["clickhouse"] != state and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(status["recorder"]["clickhouse"], state)
        return status

    def test_probe(self):
        """Before a row was put: what the probe found."""
        self.assertEqual(self.recorder.status()["recorder"]["clickhouse"], "not asked yet")
        self.recorder.start()
        status = self.clickhouse("healthy")
        self.assertEqual((status["healthy"], status["tables"][0]["guarantee"]), (True, "exactly once"), status)
        self.recorder.stop()
        self.server.end(signal.SIGKILL)
        self.recorder.start()
        status = self.clickhouse("down")
        self.assertFalse(status["healthy"])
        self.assertRegex(status["reasons"][0], "ClickHouse does not answer: .+")
        self.assertEqual(self.recorder.run("coldpath", "status").returncode, 2)
        self.server.start()
        status = self.clickhouse("healthy")
        self.assertEqual((status["healthy"], status["reasons"]), (True, []))

    def limits(self, status):
        return {one["limit"].split(",")[0]: one for one in status["limits"]}

    def test_limits(self):
        """Each with what is left; the log, the ring and the recorder's memory while ClickHouse is away and rows keep coming."""
        self.recorder.settings["tables"]["trades"] |= {"wal_limit": "32MiB", "flush": {"interval": "20ms"}}
        self.recorder.write_config()
        self.recorder.start()
        self.put(0, 1000)
        self.recorder.wait_delivered()
        status = self.recorder.status()
        limits = self.limits(status)
        self.assertEqual(set(limits), {"memory at most", "memory now", "shared memory", "log of trades", "disk of the logs",
                                       "ring of trades"})
        self.assertFalse(any(one["above_watermark"] for one in limits.values()), limits)
        self.assertTrue(0 < limits["memory now"]["taken_bytes"] < limits["memory at most"]["taken_bytes"])
        self.assertEqual((limits["log of trades"]["limit_bytes"], limits["ring of trades"]["limit_bytes"]), (32 << 20, 1 << 20))
        self.assertEqual(self.recorder.run("coldpath", "status").returncode, 0)
        self.server.end(signal.SIGKILL)
        seen = []
        for first in range(1000, 1000000, 20000):
            done = self.recorder.run("coldpath", "put", "trades", "--timeout", "2s", "--format", "JSONEachRow", input=trades(first, 20000))
            seen.append(self.limits(self.recorder.status())["log of trades"])
            if done.returncode:
                break
        self.assertNotEqual(done.returncode, 0)  # it is full
        taken = [one["taken_bytes"] for one in seen]
        self.assertEqual(taken, sorted(taken))
        self.assertTrue(any(one["above_watermark"] and "takes no rows" not in one["note"] for one in seen) or
                        taken[-2] > 16 << 20, seen)  # said before it bit
        status = self.recorder.status()
        limits = self.limits(status)
        self.assertTrue(limits["log of trades"]["above_watermark"], limits)
        self.assertTrue(limits["ring of trades"]["above_watermark"], limits)
        self.assertLess(limits["ring of trades"]["left_bytes"], 100 << 10)
        self.assertTrue(any(reason.startswith("log of trades: ") for reason in status["reasons"]), status["reasons"])
        text = self.recorder.run("coldpath", "status")
        self.assertEqual(text.returncode, 2)
        self.assertRegex(text.stdout.decode(), r"log of trades\t.*TOO MUCH: it takes no rows")
        self.assertIn("ring of trades\t", text.stdout.decode())
        region = self.recorder.run("coldpath", "status", "--json", "--region", str(self.recorder.region))
        self.assertEqual(set(self.limits(json.loads(region.stdout))), {"shared memory", "log of trades", "ring of trades"})
        self.server.start()
        self.recorder.wait_delivered()
        deadline = time.monotonic() + 10
        while not (status := self.recorder.status())["healthy"] and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual((status["healthy"], status["reasons"]), (True, []))

    def test_recorder_dead(self):
        self.recorder.start()
        self.server.end(signal.SIGKILL)
        self.put(0, 20000)
        deadline = time.monotonic() + 30
        while self.recorder.status()["tables"][0]["rows_in_ring"] and time.monotonic() < deadline:
            time.sleep(0.02)
        self.recorder.stop(signal.SIGKILL)
        done = self.recorder.run("coldpath", "status")
        self.assertEqual(done.returncode, 69)
        self.assertIn("trades: 20,000 rows wait in its log\n", done.stdout.decode())


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
