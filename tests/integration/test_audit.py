"""`coldpath audit`: equal beside live traffic, a killed recorder and a backlog; and every kind of damage done to ClickHouse's
tables is found: rows deleted, rows there twice, rows that nobody put, a row in another's place."""

import json
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
    "l2_updates": {"ring_size": "64MiB", "flush": FLUSH},
    "trades": {"ring_size": "1MiB", "flush": FLUSH, "class": "critical", "wal_limit": "64MiB"},
    "plain": {"ring_size": "1MiB", "flush": FLUSH},
}
OTHERS = 17_000_000  # more than twice what cli/audit.c asks for at once, of a producer that the region does not know
PLAIN = """CREATE TABLE IF NOT EXISTS plain (a UInt64) ENGINE = MergeTree ORDER BY a
SETTINGS non_replicated_deduplication_window = 1000"""


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


class Audit(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-audit-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}})
        self.addCleanup(self.recorder.close)
        ddl = self.recorder.work / "plain.sql"
        ddl.write_text(PLAIN)
        self.recorder.settings["tables"] = TABLES | {"plain": TABLES["plain"] | {"ddl": str(ddl)}}
        self.recorder.write_config()
        self.recorder.__enter__()

    def audit(self, *args):
        done = self.recorder.run("coldpath", "audit", "--json", *args)
        self.assertIn(done.returncode, (0, 2), done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["equal"], done.returncode == 0, answer)
        return {table["table"]: table for table in answer["tables"]}

    def assert_equal(self):
        tables = self.audit()
        for name, table in tables.items():
            self.assertTrue(table["equal"], (name, table))
        return tables

    def market(self, seconds, *args):
        return self.recorder.popen("coldpath-market", "--region", str(self.recorder.region), "--synthetic", "--rate",
                                   "20000", "--seconds", str(seconds), "--json", *args, stdout=-1, stderr=-1)

    def test_a_table_is_missing(self):
        """It is reported, and the other tables are audited all the same."""
        self.recorder.run("coldpath", "put", "trades", "--wait", "--format", "JSONEachRow", input=trades(0, 100), check=True)
        self.server.query("DROP TABLE test.l2_updates SYNC")
        tables = self.audit()
        self.assertEqual({name: (table["absent"], table["equal"]) for name, table in tables.items()},
                         {"quotes": (False, True), "l2_updates": (True, False), "trades": (False, True),
                          "plain": (False, True)})
        self.assertEqual((tables["trades"]["rows_held"], tables["l2_updates"]["missing"]), (100, 0))
        self.server.query("DROP TABLE test.trades SYNC")
        done = self.recorder.run("coldpath", "audit")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stdout.decode(), r"trades\tcritical\t100\t0\t100\t.*NO SUCH TABLE in ClickHouse\n")
        self.server.query("DROP DATABASE test SYNC")
        self.assertEqual([table["absent"] for table in self.audit().values()], [True] * 4)

    def test_live(self):
        """Never a false alarm: beside traffic, with ClickHouse killed, after the recorder is killed, and when it is back."""
        market = self.market(6)
        audits = 0
        end = time.monotonic() + 2
        while audits <= 3 or time.monotonic() < end:
            self.assert_equal()
            audits += 1
        self.recorder.stop(signal.SIGKILL)
        self.assert_equal()
        self.recorder.start()
        self.assert_equal()
        self.server.end(signal.SIGKILL)
        self.assertEqual(self.recorder.run("coldpath", "audit").returncode, 1)
        time.sleep(1)
        self.server.start()
        while market.poll() is None:
            self.assert_equal()
        market.communicate()
        self.recorder.wait_delivered()
        tables = self.assert_equal()
        for name in ("quotes", "l2_updates", "trades"):
            self.assertGreater(tables[name]["rows_held"], 100)
            self.assertEqual(tables[name]["rows_held"], tables[name]["rows_delivered"], name)
            self.assertTrue(all(ring["exact"] for ring in tables[name]["rings"]), name)
        self.assertEqual(tables["l2_updates"]["rings"][0]["checksum"]["begin"], 0)
        self.assertEqual(self.recorder.stop(), 0)
        self.assert_equal()

    def put_trades(self, first, count):
        self.recorder.run("coldpath", "put", "trades", "--format", "JSONEachRow", input=trades(first, count), check=True)
        self.recorder.wait_delivered()

    def test_damage(self):
        self.put_trades(0, 1000)
        self.assertEqual(self.assert_equal()["trades"]["rings"][0]["checksum"]["rows"], 1000)
        positions = [int(line) for line in
                     self.server.query("SELECT _cp_position FROM test.trades ORDER BY trade_id").split()]
        self.server.query("ALTER TABLE test.trades DELETE WHERE trade_id BETWEEN 500 AND 502", mutations_sync=1)
        table = self.audit("trades")["trades"]
        ring = table["rings"][0]
        self.assertEqual((table["missing"], table["twice"], table["unknown"]), (3, 0, 0))
        self.assertEqual(ring["between"], [positions[499], positions[503]])
        self.assertFalse(ring["checksum"]["equal"])
        text = self.recorder.run("coldpath", "audit", "trades")
        self.assertEqual(text.returncode, 2)
        self.assertIn(f"trades, slot 0, 3 missing, checksum differs, positions {positions[499]} to", text.stdout.decode())

        # The same number of rows, one of them in a place where none was: only the sums tell.
        columns = "recv_ts, exch_ts, venue, symbol, trade_id, price, qty, buyer_is_maker, _cp_epoch, _cp_slot"
        self.server.query(f"INSERT INTO test.trades SELECT {columns}, _cp_position + 8 FROM test.trades"
                          " WHERE trade_id IN (1, 2, 3)")
        table = self.audit("trades")["trades"]
        self.assertEqual((table["equal"], table["missing"], table["twice"]), (False, 0, 0))
        self.assertFalse(table["rings"][0]["checksum"]["equal"])

    def test_twice_and_unknown(self):
        self.put_trades(0, 1000)
        columns = "recv_ts, exch_ts, venue, symbol, trade_id, price, qty, buyer_is_maker, _cp_epoch, _cp_slot"
        self.server.query("INSERT INTO test.trades SELECT * FROM test.trades WHERE trade_id IN (10, 20)")
        table = self.audit("trades")["trades"]
        self.assertEqual((table["equal"], table["missing"], table["twice"], table["unknown"]), (False, 0, 2, 0))
        low, high = [int(line) for line in self.server.query(
            "SELECT _cp_position FROM test.trades WHERE trade_id IN (10, 20) GROUP BY 1 ORDER BY 1").split()]
        self.assertEqual(table["rings"][0]["between"], [low, high + 1])
        # So many rows that they are looked at in slices: what these say of a ring adds up to the same.
        self.server.query(f"INSERT INTO test.trades (trade_id, _cp_epoch) SELECT number, 1 FROM numbers({OTHERS})")
        sliced = self.audit("trades")["trades"]
        self.assertEqual(sliced["rows_of_others"], OTHERS)
        self.assertEqual(sliced["rings"], table["rings"])
        self.server.query("ALTER TABLE test.trades DELETE WHERE trade_id >= 0", mutations_sync=1)
        self.assertEqual(self.audit("trades")["trades"]["missing"], 1000)
        self.put_trades(1000, 10)
        self.server.query(f"INSERT INTO test.trades SELECT {columns}, _cp_position + 1000000 FROM test.trades"
                          " WHERE trade_id = 1000")
        table = self.audit("trades")["trades"]
        self.assertEqual((table["missing"], table["unknown"]), (1000, 1))

    def test_without_provenance(self):
        self.recorder.run("coldpath", "put", "plain", "--format", "CSV", input=b"1\n2\n3\n", check=True)
        self.recorder.wait_delivered()
        table = self.audit("plain")["plain"]
        self.assertEqual((table["provenance"], table["equal"], table["rows_held"], table["rings"]), (False, True, 3, []))
        self.server.query("ALTER TABLE test.plain DELETE WHERE a = 2", mutations_sync=1)
        table = self.audit("plain")["plain"]
        self.assertEqual((table["equal"], table["missing"]), (False, 1))

    def test_usage(self):
        done = self.recorder.run("coldpath", "audit", "trade")
        self.assertEqual(done.returncode, 64)
        self.assertIn(b"did you mean 'trades'?", done.stderr)

    def test_a_table_cannot_be_asked(self):
        """It has other columns: that is said, the others are audited, and the exit code is not that of a difference."""
        self.server.query("DROP TABLE test.quotes SYNC")
        self.server.query("CREATE TABLE test.quotes (a UInt8) ENGINE = MergeTree ORDER BY a")
        done = self.recorder.run("coldpath", "audit", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"coldpath: table quotes: ", done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["complete"], [table["table"] for table in answer["tables"]]), (False, ["l2_updates", "trades", "plain"]))


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
