"""Duplicates made by producers: rows of a table with unique_key whose key came before are left out, counted as rejected, and stay
out through kills of the recorder and outages; the account and ClickHouse agree."""

import json
import signal
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

TABLES = {
    "trades": {"ring_size": "1MiB", "class": "critical", "wal_limit": "64MiB", "unique_key": ["venue", "trade_id"],
               "unique_window": 20000, "flush": {"interval": "20ms", "rows": 500, "max_rows": 2000}},
}


def trade(trade_id, venue="test"):
    return json.dumps({"recv_ts": 1_700_000_000_000_000_000 + trade_id, "exch_ts": 1_700_000_000_000, "venue": venue,
                       "symbol": "A", "trade_id": trade_id, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"


@unittest.skipUnless(engine_present(), SKIP)
class UniqueKey(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-unique-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}})
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()

    def put(self, ids, venue="test"):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow",
                          input="".join(trade(n, venue) for n in ids).encode(), check=True)

    def held(self):
        return tuple(int(n) for n in self.server.query(
            "SELECT count(), uniqExact(venue, trade_id), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.trades").split())

    def test_duplicates(self):
        self.put(range(0, 3000))
        self.put(range(1000, 4000))                         # another producer, the same feed
        self.put([5000, 5000, 5000])
        self.put(range(0, 10), venue="other")               # another key
        status = self.recorder.wait_delivered()
        table = status["tables"][0]
        self.assertEqual(self.held(), (4011, 4011, 4011))
        self.assertEqual((table["rows_put"], table["rows_delivered"], table["rows_duplicate"], table["rows_rejected"]),
                         (6013, 4011, 2002, 2002))
        self.assertTrue(status["balanced"])
        self.assertIn(b"2,002 rejected as duplicates (unique_key)", self.recorder.run("coldpath", "status").stdout)
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)
        # Only the last 20000 keys count.
        self.put(range(10000, 30000))
        self.put([0])
        self.recorder.wait_delivered()
        self.assertEqual(self.held()[:2], (24012, 24011))

    def test_kills(self):
        put = 0
        for round_ in range(6):
            self.put(range(put, put + 1000))
            self.put(range(max(0, put - 500), put + 1000))
            put += 1000
            if round_ % 2:
                self.recorder.stop(signal.SIGKILL)
                self.put(range(put - 300, put))             # waits in a ring
                self.recorder.start()
            if round_ == 2:
                self.server.end(signal.SIGKILL)
                self.put(range(put - 300, put))
                self.recorder.stop(signal.SIGKILL)
                self.recorder.start()
                time.sleep(0.2)
                self.server.start()
        status = self.recorder.wait_delivered()
        self.assertEqual(self.held(), (put, put, put))
        self.assertTrue(status["balanced"])
        self.assertEqual(status["tables"][0]["rows_put"] - put, status["tables"][0]["rows_rejected"])
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 0)

    def test_lossy_is_refused(self):
        self.recorder.settings["tables"]["quotes"] = {"unique_key": ["update_id"]}
        self.recorder.settings["tables"]["trades"]["unique_key"] = ["trade_i", "ts"]
        self.recorder.write_config()
        done = self.recorder.run("coldpath", "check")
        said = (done.stdout + done.stderr).decode()
        self.assertEqual(done.returncode, 78, said)
        self.assertIn("unique_key needs a log", said)
        self.assertIn('did you mean "trade_id"', said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
