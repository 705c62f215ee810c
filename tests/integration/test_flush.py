"""`coldpath flush`: rows that would wait a minute for their batch arrive at once; --wait means what it says; the recorder
goes back to its batches afterwards."""

import fcntl
import json
import signal
import struct
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

LAZY = {"interval": "60s", "rows": 200000, "bytes": "32MiB"}
TABLES = {
    "quotes": {"ring_size": "1MiB", "flush": LAZY},
    "trades": {"ring_size": "1MiB", "flush": LAZY, "class": "critical", "wal_limit": "64MiB"},
}
F_OFD_SETLK = 37


def quotes(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "venue": "test", "symbol": "A", "update_id": n,
                               "bid_px": "1", "bid_qty": "1", "ask_px": "2", "ask_qty": "1"}) + "\n"
                   for n in range(first, first + count)).encode()


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


class Flush(unittest.TestCase):
    def setUp(self):
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"recorder": {"stop_timeout": "2s"}})
        self.recorder.__enter__()
        self.addCleanup(self.recorder.close)

    def put(self, first, count):
        self.recorder.run("coldpath", "put", "quotes", "--format", "JSONEachRow", input=quotes(first, count), check=True)
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow", input=trades(first, count), check=True)

    def held(self):
        return tuple(int(self.server.query(f"SELECT count() FROM test.{table}")) for table in TABLES)

    def flush(self, *args):
        done = self.recorder.run("coldpath", "flush", "--json", *args)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr.decode()

    def test_wait(self):
        self.put(0, 100)
        time.sleep(0.3)
        self.assertEqual(self.held(), (0, 0))
        begin = time.monotonic()
        code, answer, said = self.flush("--wait", "--timeout", "30s")
        self.assertEqual((code, answer["delivered"], answer["rows_waiting"]), (0, True, 200), said)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(self.held(), (100, 100))
        time.sleep(0.2)  # the recorder is back to its batches
        self.put(100, 50)
        time.sleep(0.5)
        self.assertEqual(self.held(), (100, 100))
        code, answer, said = self.flush("--wait")
        self.assertEqual((code, answer["rows_waiting"]), (0, 100), said)
        self.assertEqual(self.held(), (150, 150))
        self.assertEqual(self.recorder.stop(), 0)

    def test_stuck_recorder(self):
        """--timeout is also for the recorder's answer, which would otherwise be waited for for half a minute."""
        self.recorder.process.send_signal(signal.SIGSTOP)
        try:
            code, _, said = self.flush("--wait", "--timeout", "100ms")
        finally:
            self.recorder.process.send_signal(signal.SIGCONT)
        self.assertEqual(code, 1)
        self.assertIn("not answered within 100 ms", said)

    def test_without_waiting(self):
        self.put(0, 10)
        code, answer, said = self.flush()
        self.assertEqual((code, answer["waited"], answer["delivered"]), (0, False, False), said)
        self.recorder.wait_delivered(30)
        self.assertEqual(self.held(), (10, 10))
        self.assertEqual(self.flush("--wait")[0], 0)  # nothing to do

    def test_clickhouse_away(self):
        self.server.end(signal.SIGKILL)
        self.put(0, 10)
        begin = time.monotonic()
        code, answer, said = self.flush("--wait", "--timeout", "1s")
        self.assertEqual((code, answer["delivered"]), (1, False), said)
        self.assertIn("not all is delivered after 1.0 s", said)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIsNone(self.recorder.process.poll())

    def test_no_recorder(self):
        self.put(0, 10)
        self.recorder.stop(signal.SIGKILL)
        code, answer, said = self.flush("--wait")
        self.assertEqual((code, answer), (69, None), said)
        self.assertIn("no recorder runs", said)

    def test_who_takes_no_commands(self):
        """Something holds the region, and does not listen: an older recorder, `coldpath replay --offline`."""
        self.recorder.stop(signal.SIGKILL)
        with open(self.recorder.region / "recorder.lock", "r+b") as lock:
            fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
            code, _, said = self.flush()
            self.assertEqual(code, 1, said)
            self.assertIn("takes no commands", said)

    def test_signal(self):
        """For service managers, SIGUSR1 does the same."""
        self.put(0, 10)
        self.recorder.process.send_signal(signal.SIGUSR1)
        self.recorder.wait_delivered(30)
        self.assertEqual(self.held(), (10, 10))


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
