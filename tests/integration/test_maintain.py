"""`coldpath maintain` against the embedded engine: of market data spread over two years exactly the expired days go, and the
minutes rolled up before equal an aggregation of the detail itself; a roll-up that was broken off is made anew; without
--yes nothing is touched, critical tables need --confirm; TTLs and parts are looked at."""

import datetime
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DAYS = 730
ROWS = 300  # of a day that has rows
KEPT = 90  # days, as trading/market_data.sql declares
# The roll-up once more, written another way: sorted rows, first and last of each minute.
MINUTES = """SELECT toStartOfMinute(ts_exchange) AS minute, symbol, venue, environment, count() AS ticks,
 groupArray(mid)[1] AS open, arrayMax(groupArray(mid)) AS high, arrayMin(groupArray(mid)) AS low,
 groupArray(mid)[-1] AS close, sum(if(kind = 'TRADE', last_qty, 0)) AS volume, sum(kind = 'TRADE') AS trades
 FROM (SELECT *, (bid_px + ask_px) / 2 AS mid FROM {table} ORDER BY ts_exchange, sequence, ts)
 GROUP BY minute, symbol, venue, environment"""
SUMS = ("SELECT count(), sum(cityHash64(toUInt32(minute), symbol, venue, environment, toString(open), toString(high), "
        "toString(low), toString(close), toString(toDecimal128(volume, 8)), toUInt64(trades), ticks)) FROM ")


class Maintain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        work = tempfile.TemporaryDirectory(prefix="coldpath-maintain-test-")
        self.addCleanup(work.cleanup)
        self.work = pathlib.Path(work.name)
        self.database = self.id().rpartition(".")[2]
        self.configure({"market_data": {}, "market_data_1m": {}}, {"set": "trading"})

    def configure(self, tables, schema, url=None):
        self.config = self.work / "coldpath.yaml"
        self.config.write_text(json.dumps({"namespace": "test", "schema": schema, "tables": tables, "clickhouse":
                                           {"url": url or self.server.url, "database": self.database}}))

    def coldpath(self, *args, code=0):
        done = subprocess.run([build_dir() / "bin/coldpath", *args, "--config", self.config], capture_output=True, text=True,
                              timeout=300)
        self.assertEqual(done.returncode, code, (args, done.stdout[-3000:], done.stderr[-3000:]))
        return done

    def maintain(self, *args, code=0):
        answer = json.loads(self.coldpath("maintain", "--json", *args, code=code).stdout)
        return answer, {table["table"]: {p["partition"]: p for p in table["partitions"]} for table in answer["tables"]}

    def ask(self, sql, **settings):
        return self.server.query(sql, database=self.database, **settings)

    def fill(self, step=8):
        """Rows in every step-th day of two years, in uneven minutes; the server's own TTL is kept from acting. One of the
        days is the first that is expired, one the last that is not."""
        self.coldpath("schema", "apply")
        self.ask("SYSTEM STOP MERGES market_data")
        self.ask(f"""INSERT INTO market_data (ts_exchange, ts, venue, symbol, kind, sequence, bid_px, ask_px, last_px, last_qty,
            environment) SELECT toDateTime64(today() - day, 9, 'UTC') + intHash32(number) % 600 * 144 + number % 997 / 1000 AS t, t, ['usdm', 'spot'][number % 2 + 1], ['A', 'B'][number % 3 % 2 + 1], number % 3 + 1, number,
            intHash32(number) % 1000000 / 100, intHash32(number + 7) % 1000000 / 100, 1, number % 11 / 10, 'test'
            FROM numbers({ROWS}) ARRAY JOIN arrayConcat(range(1, {DAYS}, {step}), [{KEPT}, {KEPT + 1}, {KEPT - 5}]) AS day""",
                 max_partitions_per_insert_block=0)
        # Some minutes with many rows, and equal times.
        self.ask("INSERT INTO market_data SELECT * REPLACE (sequence + 1000000 AS sequence, bid_px + 1 AS bid_px) FROM "
                 "market_data WHERE sequence % 10 = 0", max_partitions_per_insert_block=0)

    def days(self, table="market_data"):
        return set(self.ask(f"SELECT DISTINCT _partition_id FROM {table}").split())

    def expired(self):
        return set(self.ask("SELECT _partition_id FROM market_data GROUP BY _partition_id "
                            f"HAVING max(toDateTime(ts_exchange)) + INTERVAL {KEPT} DAY <= now()").split())

    def test_two_years(self):
        self.fill()
        all_days, expired = self.days(), self.expired()
        oldest, newest = self.ask("SELECT min(toDate(ts_exchange)), max(toDate(ts_exchange)) FROM market_data").split()
        self.assertGreater((datetime.date.fromisoformat(newest) - datetime.date.fromisoformat(oldest)).days, DAYS - 10)
        self.assertGreater(len(expired), 70)
        self.assertGreater(len(all_days - expired), 8)
        before = self.ask("SELECT count() FROM market_data")
        answer, plan = self.maintain("market_data")
        self.assertEqual({day for day, p in plan["market_data"].items() if "drop" in p["action"]}, expired)
        self.assertEqual(answer["done"], 0)
        self.assertEqual(self.ask("SELECT count() FROM market_data"), before)
        self.assertEqual(self.ask("SELECT count() FROM market_data_1m"), "0\n")
        soon = {day for day, p in plan["market_data"].items() if p["action"] == "roll up"}
        self.assertIn(len(soon), (1, 2, 3))

        self.ask(f"CREATE TABLE direct ENGINE = MergeTree ORDER BY minute AS {MINUTES.format(table='market_data')}")
        kept_rows = self.ask("SELECT count(), sum(cityHash64(toString(tuple(*)))) FROM market_data WHERE _partition_id NOT IN "
                             f"({', '.join(map(repr, sorted(expired)))})")
        text = self.coldpath("maintain", "--yes").stdout
        self.assertIn("roll up, drop: done", text)
        self.assertEqual(self.days(), all_days - expired)
        self.assertEqual(self.ask("SELECT count(), sum(cityHash64(toString(tuple(*)))) FROM market_data"), kept_rows)
        self.assertEqual(self.days("market_data_1m"), expired | soon)
        rolled = ", ".join(repr(day) for day in sorted(expired | soon))
        self.assertEqual(self.ask(SUMS + "market_data_1m"),
                         self.ask(SUMS + f"direct WHERE formatDateTime(minute, '%Y%m%d') IN ({rolled})"))
        answer, _ = self.maintain("--yes")
        self.assertEqual((answer["planned"], answer["findings"]), (0, 0))

    def test_broken_off(self):
        """Half a roll-up from a run that died is no roll-up; one that is whole is not made again."""
        self.fill(step=120)
        day, other = sorted(self.expired())[:2]
        rollup = (SOURCE / "schema/ddl/trading/rollups/market_data.sql").read_text().rstrip(";\n")
        self.ask(rollup.replace("{partition:String}", f"'{day}' AND symbol = 'A'"))
        self.ask(rollup.replace("{partition:String}", f"'{other}'"))
        self.ask(f"CREATE TABLE direct ENGINE = MergeTree ORDER BY minute AS {MINUTES.format(table='market_data')}")
        _, plan = self.maintain("market_data")
        self.assertEqual(plan["market_data"][day]["action"], "roll up, drop")
        self.assertEqual(plan["market_data"][other]["action"], "drop")
        self.maintain("--yes")
        for part in (day, other):
            self.assertEqual(self.ask(SUMS + f"market_data_1m WHERE _partition_id = '{part}'"),
                             self.ask(SUMS + f"direct WHERE formatDateTime(minute, '%Y%m%d') = '{part}'"))

    def test_late_rows(self):
        """Rows that come once their day has gone do not take its bars with them."""
        self.coldpath("schema", "apply")
        self.ask("SYSTEM STOP MERGES market_data")
        bars = "SELECT sum(ticks), sum(cityHash64(symbol, minute, ticks)) FROM market_data_1m"

        def come(symbol, rows, day=KEPT + 10):
            self.ask("INSERT INTO market_data (ts_exchange, ts, venue, symbol, kind, bid_px, ask_px) SELECT "
                     f"toDateTime64(today() - {day}, 9, 'UTC') + number % 600 AS t, t, 'spot', '{symbol}', 2, 1, 2 "
                     f"FROM numbers({rows})")

        come("A", 1000)
        self.maintain("--yes")
        self.assertEqual(self.days(), set())
        before = self.ask(bars)
        self.assertTrue(before.startswith("1000\t"))
        come("B", 2000)
        come("C", 10, KEPT + 5)  # its turn comes behind, and it goes
        self.assertIn("bars and partition are kept", self.coldpath("maintain", "--yes", code=1).stderr)
        self.assertEqual(self.ask(bars + " WHERE symbol != 'C'"), before)
        self.assertEqual(self.ask("SELECT symbol, count() FROM market_data GROUP BY symbol"), "B\t2000\n")
        come("A", 1000)  # all of the day is there again: it can be made anew
        self.maintain("--yes")
        self.assertTrue(self.ask(bars).startswith("3010\t"))
        self.assertEqual(self.days(), set())

    def test_rollup_fails(self):
        """Without its roll-up nothing goes; other tables have their turn."""
        self.fill(step=120)
        before = self.days()
        self.ask("DROP TABLE market_data_1m")
        done = self.coldpath("maintain", "--yes", code=1)
        self.assertIn("market_data_1m", done.stderr)
        self.assertEqual(self.days(), before)

    def test_other_partitions(self):
        """Bars that would come into other partitions than their rows are refused before there are any; tuples and other types of
        the key's columns are taken as the server takes them."""
        (self.work / "rollups").mkdir()
        (self.work / "rollups/t.sql").write_text(
            "INSERT INTO u (minute, s, ticks) SELECT toStartOfMinute(ts) AS minute, s, count() AS ticks FROM t "
            "WHERE _partition_id = {partition:String} GROUP BY minute, s")
        (self.work / "t.sql").write_text(
            "CREATE TABLE t (ts DateTime('UTC'), s LowCardinality(String)) ENGINE = MergeTree PARTITION BY (toDate(ts), s) "
            "ORDER BY ts TTL ts + INTERVAL 1 YEAR DELETE")
        self.configure({"t": {}}, {"dir": str(self.work)})
        self.coldpath("schema", "apply")
        self.ask("SYSTEM STOP MERGES t")
        self.ask("INSERT INTO t SELECT toDateTime('2020-03-04 05:06:07', 'UTC') + number, 'a(' FROM numbers(90)")
        for key, said in (("toYYYYMM(minute)", "toYYYYMM(minute)"), ("(s, toDate(minute))", "(s, toDate(minute))"),
                          ("tuple()", "PARTITION BY tuple()")):
            self.ask(f"CREATE TABLE u (minute DateTime('UTC'), s String, ticks UInt64) ENGINE = MergeTree PARTITION BY {key} "
                     "ORDER BY minute")
            for _ in range(2):
                done = self.coldpath("maintain", "--yes", code=1)
                self.assertIn("would come into other partitions of u", done.stderr)
                self.assertIn(said, done.stderr)
                self.assertEqual(self.ask("SELECT count() FROM u"), "0\n")
            self.ask("DROP TABLE u SYNC")
        self.assertEqual(self.ask("SELECT count() FROM t"), "90\n")
        self.ask("CREATE TABLE u (minute DateTime64(3, 'UTC'), s String, ticks UInt64) ENGINE = MergeTree "
                 "PARTITION BY (toDate(minute), s) ORDER BY minute")
        self.maintain("--yes")
        self.assertEqual(self.ask("SELECT sum(ticks) FROM u"), "90\n")
        self.assertEqual(self.ask("SELECT count() FROM t"), "0\n")

    def small(self, table):
        """A critical table of one's own, without a roll-up: rows of today and of three years ago."""
        (self.work / "t.sql").write_text(table)
        self.configure({"t": {"class": "critical"}}, {"dir": str(self.work)})
        self.coldpath("schema", "apply")
        self.ask("SYSTEM STOP MERGES t")
        self.ask("INSERT INTO t SELECT now() - INTERVAL arrayJoin([0, 36, 37, 37]) MONTH")

    TABLE = ("CREATE TABLE t (ts DateTime('UTC')) ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY ts "
             "TTL ts + INTERVAL 1 YEAR DELETE")

    def test_critical(self):
        self.small(self.TABLE)
        text = self.coldpath("maintain").stdout
        self.assertIn("needs --confirm=TABLE", text)
        answer, plan = self.maintain("--yes", code=1)
        self.assertEqual((answer["planned"], answer["done"], answer["unconfirmed"]), (2, 0, 2))
        self.assertEqual(self.ask("SELECT count() FROM t"), "4\n")
        self.coldpath("maintain", "--yes", "--confirm=tt", code=1)
        answer, plan = self.maintain("--yes", "--confirm=t")
        self.assertEqual(answer["done"], 2)
        self.assertEqual([p["rows"] for p in plan["t"].values() if p["done"]], [2, 1])
        self.assertEqual(self.ask("SELECT count() FROM t"), "1\n")
        self.coldpath("maintain", "--yes", "--dry-run", code=64)

    def test_findings(self):
        self.small(self.TABLE)
        self.ask("ALTER TABLE t MODIFY TTL ts + INTERVAL 2 YEAR", materialize_ttl_after_modify=0)
        done = self.coldpath("maintain", code=2)
        self.assertIn("TTL declared ts + INTERVAL 1 YEAR DELETE, on the server ts + toIntervalYear(2)", done.stderr)
        self.maintain("--yes", "--confirm=t", code=2)
        self.assertEqual(self.ask("SELECT count() FROM t"), "4\n")  # the server is told to keep some of them
        self.ask("DROP TABLE t")
        self.assertIn("is not on the server", self.coldpath("maintain", code=2).stderr)
        self.small(self.TABLE.replace("1 YEAR DELETE", "1 YEAR DELETE WHERE ts > 0"))
        done = self.coldpath("maintain")
        self.assertIn("is left to the server", done.stderr)
        self.assertIn("all partitions stay", done.stdout)
        self.assertEqual(self.ask("SELECT count() FROM t"), "4\n")

    def test_wrong_clock(self):
        """Whose clock is wrong cannot be told, so nothing is dropped: not by a server an hour ahead, nor by one a year behind."""
        asked = []

        class Clock(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.rfile.read(int(self.headers["Content-Length"])))
                answer = f"{int(time.time()) + self.server.ahead}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Clock) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            (self.work / "t.sql").write_text(self.TABLE)
            self.configure({"t": {}}, {"dir": str(self.work)}, f"http://127.0.0.1:{server.server_port}")
            for server.ahead, words in ((3600, "ahead of this host's"), (-365 * 86400, "behind this host's")):
                self.assertIn(words, self.coldpath("maintain", "--yes", code=1).stderr)
            self.assertEqual(asked, [b"SELECT toUInt32(now()) FORMAT TSV"] * 2)

    def test_bad_rollup(self):
        (self.work / "rollups").mkdir()
        (self.work / "rollups/t.sql").write_text("INSERT INTO u SELECT * FROM t")
        (self.work / "t.sql").write_text(self.TABLE)
        self.configure({"t": {}}, {"dir": str(self.work)})
        self.coldpath("schema", "apply")
        self.assertIn("t.sql:1:1: the roll-up has to name its partition once", self.coldpath("maintain", code=1).stderr)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
