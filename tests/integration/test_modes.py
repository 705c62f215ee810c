"""The recorder's modes, switched while rows flow: wal_first logs critical tables and ships them while `coldpath replay` asks,
whichever of the two is killed; disabled sends nothing; the day's budget holds rows back until the next day. Every row once."""

import json
import signal
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

FLUSH = {"interval": "20ms"}
TABLES = {
    "quotes": {"ring_size": "1MiB", "flush": FLUSH},
    "trades": {"ring_size": "1MiB", "flush": FLUSH | {"rows": 500, "max_rows": 2000}, "class": "critical",
               "wal_limit": "64MiB"},
}


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


def quotes(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "venue": "test", "symbol": "A", "update_id": n,
                               "bid_px": "1", "bid_qty": "1", "ask_px": "2", "ask_qty": "1"}) + "\n"
                   for n in range(first, first + count)).encode()


@unittest.skipUnless(engine_present(), SKIP)
class Modes(unittest.TestCase):
    def make(self, tables=TABLES, **extra):
        path = tempfile.TemporaryDirectory(prefix="coldpath-modes-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.addCleanup(self.server.stop)
        settings = {"recorder": {"stop_timeout": "5s"}, "clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}}
        self.recorder = Recorder(self.server, json.loads(json.dumps(tables)), extra=settings | extra)
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()

    def put(self, table, first, count):
        rows = trades(first, count) if table == "trades" else quotes(first, count)
        self.recorder.run("coldpath", "put", table, "--format", "JSONEachRow", input=rows, check=True)

    def table(self, name):
        return next(table for table in self.recorder.status()["tables"] if table["table"] == name)

    def held(self, table):
        key = "trade_id" if table == "trades" else "update_id"
        return tuple(int(n) for n in self.server.query(f"SELECT count(), uniqExact({key}) FROM test.{table}").split())

    def wait(self, what, condition, timeout=30):
        deadline = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{what}\n{self.recorder.status()}\n{self.recorder.read_log()[-3000:]}")
            time.sleep(0.03)

    def reload(self, **settings):
        self.recorder.settings.update(settings)
        self.recorder.write_config()
        self.recorder.run("coldpath", "reload", check=True)

    def follow(self):
        process = self.recorder.popen("coldpath", "replay", "--follow")
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
        return process

    def test_wal_first(self):
        self.make(mode="wal_first")
        self.put("trades", 0, 3000)
        self.put("quotes", 0, 1000)
        self.wait("lossy tables are sent", lambda: self.held("quotes") == (1000, 1000))
        self.wait("logged", lambda: self.table("trades")["rows_in_log"] == 3000)
        time.sleep(0.5)
        self.assertEqual(self.held("trades"), (0, 0))
        self.assertEqual(self.recorder.status()["recorder"]["mode"], "wal_first")
        done = self.recorder.run("coldpath", "replay", "--json", check=True)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["done"], answer["by_recorder"], answer["rows_delivered"]), (True, True, 3000))
        self.assertEqual(self.held("trades"), (3000, 3000))
        # The lock is gone with its holder.
        self.put("trades", 3000, 100)
        self.wait("logged", lambda: self.table("trades")["rows_in_log"] == 100)
        # A stop waits for the log alone.
        begun = time.monotonic()
        self.assertEqual(self.recorder.stop(), 0)
        self.assertLess(time.monotonic() - begun, 4)
        self.recorder.start()
        self.reload(mode="direct")
        self.wait("direct again", lambda: self.held("trades") == (3100, 3100))
        done = self.recorder.run("coldpath", "replay", "--follow")
        self.assertEqual(done.returncode, 69)
        self.assertIn(b"by itself", done.stderr)
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)

    def test_follow_and_kills(self):
        self.make(mode="wal_first")
        follower = self.follow()
        put = 0
        for round_ in range(6):
            self.put("trades", put, 2000)
            put += 2000
            if round_ % 3 == 0:
                follower.kill()
                follower.wait()
                follower = self.follow()
            elif round_ % 3 == 1:
                self.recorder.stop(signal.SIGKILL)
                self.recorder.start()
        self.wait("all followed", lambda: self.held("trades") == (put, put))
        self.assertEqual(self.recorder.run("coldpath", "replay", "--follow").returncode, 69)
        follower.send_signal(signal.SIGTERM)
        self.assertEqual(follower.wait(10), 0)
        self.put("trades", put, 500)
        self.wait("logged", lambda: self.table("trades")["rows_in_log"] == 500)
        self.assertEqual(self.held("trades"), (put, put))
        self.assertTrue(self.recorder.status()["balanced"])

    def test_disabled(self):
        self.make(mode="disabled")
        self.put("trades", 0, 2000)
        self.put("quotes", 0, 2000)
        self.wait("logged", lambda: self.table("trades")["rows_in_log"] == 2000)
        time.sleep(0.5)
        self.assertEqual((self.held("trades"), self.held("quotes")), ((0, 0), (0, 0)))
        status = self.recorder.status()
        self.assertEqual((status["recorder"]["mode"], status["recorder"]["clickhouse"]), ("disabled", "not asked yet"))
        self.assertTrue(status["balanced"])
        done = self.recorder.run("coldpath", "replay")
        self.assertEqual(done.returncode, 69)
        self.assertIn(b"sends nothing", done.stderr)
        self.recorder.restart()
        self.put("quotes", 2000, 500)
        self.reload(mode="direct")
        self.wait("all sent", lambda: (self.held("trades"), self.held("quotes")) == ((2000, 2000), (2500, 2500)))
        self.reload(mode="disabled")
        self.put("quotes", 2500, 500)
        time.sleep(0.5)
        self.assertEqual(self.held("quotes"), (2500, 2500))
        self.reload(mode="direct")
        self.wait("all sent", lambda: self.held("quotes") == (3000, 3000))
        self.recorder.wait_delivered()

    def test_disabled_lossy_policy(self):
        """Lossy rows that find no room are shed as declared, and every one is counted."""
        ladder = {"rungs": ["drop"], "dwell": "1ms", "drop": {"ring_up": "60%", "ring_down": "40%", "pool_up": "30%",
                                                               "pool_down": "10%"}}
        tables = {"quotes": {"ring_size": "64KiB", "row_max": "1KiB", "slots": 1, "flush": FLUSH, "pressure": ladder}}
        self.make(tables=tables, mode="disabled", recorder={"memory_limit": "16MiB", "stop_timeout": "5s"})
        for first in range(0, 240000, 20000):
            self.put("quotes", first, 20000)
        self.wait("something is dropped", lambda: self.table("quotes")["rows_dropped"] > 0)
        self.reload(mode="direct")
        self.recorder.wait_delivered()
        table = self.table("quotes")
        self.assertTrue(self.recorder.status()["balanced"])
        self.assertEqual(self.held("quotes")[0], 240000 - table["rows_dropped"])

    def test_budget(self):
        self.make(limits={"daily_bytes": "64KiB"}, clickhouse={"compression": "none", "retry_min": "10ms"})
        put = 0
        while "budget is spent" not in self.recorder.read_log():
            self.put("trades", put, 500)
            put += 500
            time.sleep(0.1)
            self.assertLess(put, 20000)
        self.assertIn("nearly spent", self.recorder.read_log())
        self.wait("what was under way ends", lambda: self.table("trades")["rows_in_flight"] == 0)
        held = self.held("trades")[0]
        self.assertLess(0, held)
        self.put("trades", put, 1000)
        self.put("quotes", 0, 1000)
        put += 1000
        self.wait("logged", lambda: self.table("trades")["rows_in_ring"] == 0)
        limit = self.limit()
        self.assertGreaterEqual(limit["taken_bytes"], 64 * 1024)
        self.assertTrue(limit["above_watermark"])
        self.assertEqual(self.held("trades")[0], held)
        # The count is the day's, not the recorder's: a kill, a restart and another table leave it.
        self.recorder.stop(signal.SIGKILL)
        self.recorder.settings["tables"]["system_stats"] = {}
        self.recorder.write_config()
        self.recorder.start()
        time.sleep(0.5)
        self.assertEqual((self.held("trades")[0], self.held("quotes")[0]), (held, 0))
        self.assertEqual(self.limit()["taken_bytes"], limit["taken_bytes"])
        self.reload(limits={"daily_bytes": 0})
        self.wait("without a budget", lambda: (self.held("trades"), self.held("quotes")) == ((put, put), (1000, 1000)))
        self.assertTrue(self.recorder.status()["balanced"])

    def limit(self):
        return next(limit for limit in self.recorder.status()["limits"] if limit["limit"].startswith("bytes sent today"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
