"""`coldpath replay`: what a killed recorder left in logs and rings arrives without coldpathd, each row once, even when the region
is lost or replay itself is killed; delivered records are sent once more on request; a running recorder is left alone."""

import json
import re
import shutil
import signal
import sys
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


class Replay(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-replay-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"},
                                                             "wal": {"keep": "1h"}})
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()

    def put(self, first, count):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow", input=trades(first, count), check=True)

    def replay(self, *args):
        done = self.recorder.run("coldpath", "replay", "--json", *args, timeout=60)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()

    def held(self):
        return tuple(int(n) for n in self.server.query(
            "SELECT count(), uniqExact(trade_id), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.trades").split())

    def leave_backlog(self):
        """5000 rows delivered, 20000 in the log (a recorder was killed while ClickHouse was away), 1000 in the ring."""
        self.put(0, 5000)
        self.recorder.wait_delivered()
        self.server.end(signal.SIGKILL)
        for first in range(5000, 25000, 5000):
            self.put(first, 5000)
        deadline = time.monotonic() + 20
        while self.recorder.status()["tables"][1]["rows_in_ring"] and time.monotonic() < deadline:
            time.sleep(0.02)
        self.recorder.stop(signal.SIGKILL)
        self.put(25000, 1000)

    def test_backlog(self):
        self.leave_backlog()
        self.server.start()
        code, _, said = self.replay()
        self.assertEqual(code, 69)
        self.assertIn("give --offline", said)
        code, answer, said = self.replay("--offline", "--table", "trades")
        self.assertEqual((code, answer["done"], answer["rows_delivered"]), (0, True, 21000), said)
        self.assertEqual(answer["records"], answer["records_delivered"])
        self.assertEqual(self.held(), (26000, 26000, 26000))
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)
        code, answer, said = self.replay("--offline")
        self.assertEqual((code, answer["rows_delivered"]), (0, 0), said)
        self.recorder.start()
        code, _, said = self.replay("--offline")
        self.assertEqual(code, 69)
        self.assertIn("replays what is not delivered by itself", said)
        self.put(26000, 10)
        self.recorder.wait_delivered()
        self.assertEqual(self.held(), (26010, 26010, 26010))

    def test_lost_region(self):
        """As after a restart of the machine: shared memory is gone, the log is not."""
        self.leave_backlog()
        shutil.rmtree(self.recorder.region)
        self.recorder.settings["recorder"] = self.recorder.settings.get("recorder", {}) | {"stop_timeout": "100ms"}
        self.recorder.write_config()
        self.recorder.start()
        self.recorder.stop()
        kept = re.findall(r"rows_kept_in_logs=(\d+) lsns_kept_in_logs=(\d+)", self.recorder.read_log())[-1]
        self.assertEqual(kept[0], "0")  # of this region's
        self.assertGreaterEqual(int(kept[1]), 4)
        self.server.start()
        code, answer, said = self.replay("--offline")
        self.assertEqual((code, answer["done"]), (0, True), said)
        self.assertEqual(self.held(), (25000, 25000, 25000))

    def test_killed_and_away(self):
        self.leave_backlog()
        process = self.recorder.popen("coldpath", "replay", "--offline", stdout=-1, stderr=-1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)  # ClickHouse is away: it ends, and nothing is lost
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 1)
        self.server.start()
        for _ in range(5):
            process = self.recorder.popen("coldpath", "replay", "--offline", stdout=-1, stderr=-1)
            time.sleep(0.15)
            process.kill()
            process.communicate(timeout=30)
        self.assertEqual(self.replay("--offline")[0], 0)
        self.assertEqual(self.held(), (26000, 26000, 26000))
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)

    def test_range(self):
        for first in range(0, 10000, 1000):
            self.put(first, 1000)
        self.recorder.wait_delivered()
        code, _, said = self.replay("--offline", "--table", "trades", "--range", "1-2")
        self.assertEqual(code, 69, said)
        self.assertEqual(self.recorder.stop(), 0)
        self.server.query("TRUNCATE TABLE test.trades")
        code, _, said = self.replay("--offline", "--table", "trades", "--range", "1-999999")
        self.assertEqual(code, 1, said)
        self.assertIn("is not delivered yet", said)
        last = int(said.split("the last delivered one is ")[1].split(")")[0])
        code, answer, said = self.replay("--offline", "--table", "trades", "--range", f"1-{last}")
        self.assertEqual((code, answer["rows_delivered"], answer["records_delivered"]), (0, 10000, last), said)
        self.assertEqual(self.held(), (10000, 10000, 10000))
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)
        code, answer, said = self.replay("--offline", "--table", "trades", "--range", f"1-{last}")
        self.assertEqual(code, 0, said)  # recognised by its tokens
        self.assertEqual(self.held(), (10000, 10000, 10000))
        code, answer, said = self.replay("--offline", "--table", "trades", "--range", "1")
        self.assertEqual(code, 0, said)  # another range: twice, as promised
        self.assertEqual(self.held(), (10000 + answer["rows_delivered"], 10000, 10000))
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 2)

    def test_usage(self):
        for args in (["--range", "1-2"], ["--table", "trades", "--range", "2-1"], ["--table", "trades", "--range", "x"]):
            self.assertEqual(self.replay(*args)[0], 64, args)
        code, _, said = self.replay("--offline", "--table", "quotes")
        self.assertEqual(code, 1)
        self.assertIn("no critical table 'quotes'", said)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
