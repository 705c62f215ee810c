"""The producers: made-up data and captures into rings, with an account that adds up."""
import gzip
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

import support

CONFIG = """namespace: test
region:
  dir: {directory}
tables:
  l2_updates: {{ring_size: 4MiB}}
  quotes: {{ring_size: 1MiB}}
  trades: {{ring_size: 1MiB}}
  system_stats: {{ring_size: 1MiB}}
"""

L2 = "recv_ts_ns,exch_ts_ms,venue,symbol,first_update_id,final_update_id,side,price,qty\n"
TRADES = "recv_ts_ns,exch_ts_ms,venue,symbol,trade_id,price,qty,buyer_is_maker\n"


class Feeds(support.Case):
    def setUp(self):
        super().setUp()
        self.config.write_text(CONFIG.format(directory=self.directory / "region"))
        self.init()

    def feed(self, program, *args, code=0):
        result = self.run_program(program, "--region", self.region, "--json", *args)
        self.assertEqual(result.returncode, code, result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["rows_put"], sum(t["rows"] for t in answer["tables"]))
        return answer, result.stderr.decode()

    def ledger(self):
        status = json.loads(self.coldpath("status", "--json").stdout)
        self.assertTrue(status["balanced"])
        return {t["table"]: t["rows_in_ring"] for t in status["tables"]}

    def check_ledger(self, answer):
        rows = self.ledger()
        for table in answer["tables"]:
            self.assertEqual(rows[table["table"]], table["rows"])
            self.assertGreaterEqual(table["last"] - table["first"], 72 * table["rows"])

    def test_synthetic(self):
        answer, _ = self.feed("coldpath-market", "--synthetic", "--seconds", "1", "--rate", "5000")
        self.assertEqual(answer["source"], "synthetic")
        self.assertTrue(3000 < answer["rows_put"] <= 5100, answer)
        self.assertGreater(answer["put_p50_ns"], 0)
        self.assertLessEqual(answer["put_p50_ns"], answer["put_p99_ns"])
        self.check_ledger(answer)

    def test_drop(self):
        answer, _ = self.feed("coldpath-market", "--synthetic", "--seconds", "0.5", "--rate", "max", "--on-full", "drop")
        self.assertGreater(answer["dropped"], 0)
        self.check_ledger(answer)

    def test_full(self):
        answer, messages = self.feed("coldpath-market", "--synthetic", "--rate", "max", "--timeout", "100ms", code=1)
        self.assertIn("stayed full", messages)
        self.check_ledger(answer)

    def test_captures(self):
        l2 = self.directory / "l2.csv"
        trades = self.directory / "trades.csv"
        l2.write_text(L2 + "5000000000,1,v,s,1,2,B,1.5,0\nrubbish\n6000000000,,v,s,1,2,A,1.5,2\n1000000000,1,v,s,3,4,A,1,1")
        trades.write_text(TRADES + "5500000000,1,v,s,1,1.5,2,0\n5600000000,1,v,s,1,1.123456789,2,0\n")
        answer, messages = self.feed("coldpath-market", l2, trades, "--speed", "max", "--loop", "2", code=1)
        self.assertEqual({t["table"]: t["rows"] for t in answer["tables"]}, {"l2_updates": 6, "trades": 2})
        self.assertEqual(answer["rejected"], 4)
        self.assertIn(f"{l2}:3: 1 fields where 9", messages)
        self.assertIn(f"{trades}:3:20: price: \"1.123456789\"", messages)
        self.check_ledger(answer)

    def test_pace(self):
        l2 = self.directory / "l2.csv"
        l2.write_text(L2 + "".join(f"{i * 100_000_000},1,v,s,1,2,B,1,1\n" for i in range(11)))
        answer, _ = self.feed("coldpath-market", l2, "--speed", "2")
        self.assertEqual(answer["rows_put"], 11)
        self.assertTrue(0.45 < answer["seconds"] < 5, answer)

    def test_no_summary_of_nothing(self):
        """What cannot attach or open its rings says why, on standard error, and prints no figures."""
        only_quotes = self.directory / "quotes.yaml"
        only_quotes.write_text(f"namespace: other\nregion:\n  dir: {self.directory / 'region'}\ntables: {{l2_updates: {{}}}}\n")
        result = self.run_program("coldpath", "init", "--config", only_quotes, "--no-tables")
        self.assertEqual(result.returncode, 0, result.stderr)
        other = self.directory / "region" / "other"
        for program, args in (("coldpath-market", ["--synthetic"]), ("coldpath-hoststats", [])):
            for region, words in (("/nonexistent", b"coldpath init"), (other, b"no table")):
                for json_option in ([], ["--json"]):
                    result = self.run_program(program, "--region", region, *args, *json_option)
                    self.assertEqual((result.returncode, result.stdout), (69, b""), result.stderr)
                    self.assertIn(words, result.stderr)
        empty = self.directory / "empty.csv"
        empty.write_text(TRADES)
        answer, _ = self.feed("coldpath-market", empty)  # nothing went wrong: a summary of no rows
        self.assertEqual(answer["rows_put"], 0)

    def test_byte_order_mark(self):
        trades = self.directory / "trades.csv"
        trades.write_text("\ufeff" + TRADES + "5500000000,1,v,s,1,1.5,2,0\n", encoding="utf-8")
        answer, _ = self.feed("coldpath-market", trades)
        self.assertEqual({t["table"]: t["rows"] for t in answer["tables"]}, {"trades": 1})

    def test_damaged_capture(self):
        """A capture cut short is no damaged region: 1, and what was put is counted."""
        trades = self.directory / "trades.csv.gz"
        trades.write_bytes(gzip.compress((TRADES + "5500000000,1,v,s,1,1.5,2,0\n" * 1000).encode())[:-9])
        answer, messages = self.feed("coldpath-market", trades, "--speed", "max", code=1)
        self.assertIn("cut short", messages)
        self.assertGreater(answer["rows_put"], 0)

    def test_wrong_file(self):
        other = self.directory / "other.csv"
        other.write_text("a,b\n1,2\n")
        for args in (["--l2", other], [other]):
            result = self.run_program("coldpath-market", "--region", self.region, *args)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{other}:1:".encode(), result.stderr)
        self.assertEqual(self.run_program("coldpath-market", "--region", self.region, "/nonexistent").returncode, 74)
        self.assertEqual(self.run_program("coldpath-market", "--region", "/nonexistent", other).returncode, 69)
        self.assertEqual(self.run_program("coldpath-market").returncode, 64)

    def test_signal(self):
        process = subprocess.Popen([support.BIN / "coldpath-market", "--region", self.region, "--synthetic", "--rate",
                                    "100", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while sum(self.ledger().values()) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        answer = json.loads(out)
        self.assertEqual((process.returncode, answer["interrupted"]), (0, True))
        self.check_ledger(answer)

    def test_hoststats(self):
        answer, _ = self.feed("coldpath-hoststats", "--seconds", "1", "--interval", "50ms")
        self.assertTrue(10 <= answer["rows_put"] <= 21, answer)
        self.check_ledger(answer)
        result = self.run_program("coldpath-hoststats", "--region", self.region, "--iface", "nonexistent0")
        self.assertEqual(result.returncode, 1)

    def test_real_captures(self):
        """All of the recorded market data parses: every row is put or, the rings being small, dropped."""
        data = pathlib.Path(os.environ.get("COLDPATH_TEST_DATA", "../shared/data"))
        files = sorted(data.glob("derived_binance_*.csv.gz"))
        if len(files) != 3:
            self.skipTest(f"no market data in {data}")
        answer, _ = self.feed("coldpath-market", *files, "--speed", "max", "--on-full", "drop")
        self.assertEqual(answer["rows_put"] + answer["dropped"], 1046204 + 165215 + 45536)
        self.assertEqual(answer["rejected"], 0)


if __name__ == "__main__":
    unittest.main()
