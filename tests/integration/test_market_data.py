"""All of the recorded market data, replayed flat out through the whole path, equals the same files loaded by the engine
itself: counts, and an order-independent hash of every column. Runs where the data is: $COLDPATH_TEST_DATA."""

import os
import pathlib
import sys
import unittest
import gzip

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

DATA = pathlib.Path(os.environ.get("COLDPATH_TEST_DATA") or pathlib.Path(__file__).resolve().parents[2] / "../shared/data")

# Per table: the file, its columns as the engine reads them, and how they become the table's.
DECIMAL = "toDecimal64({0}, 8)"
TABLES = {
    "l2_updates": {
        "file": "derived_binance_l2.csv.gz",
        "rows": 1_046_204,
        "raw": "recv_ts_ns Int64, exch_ts_ms Nullable(Int64), venue String, symbol String, first_update_id UInt64,"
               " final_update_id UInt64, side String, price String, qty String",
        "columns": {"first_update_id": "first_update_id", "final_update_id": "final_update_id", "side": "side",
                    "price": DECIMAL.format("price"), "qty": DECIMAL.format("qty")},
    },
    "quotes": {
        "file": "derived_binance_bbo.csv.gz",
        "rows": 165_215,
        "raw": "recv_ts_ns Int64, exch_ts_ms Nullable(Int64), venue String, symbol String, update_id UInt64,"
               " bid_px String, bid_qty String, ask_px String, ask_qty String",
        "columns": {"update_id": "update_id"} | {name: DECIMAL.format(name)
                                                 for name in ("bid_px", "bid_qty", "ask_px", "ask_qty")},
    },
    "trades": {
        "file": "derived_binance_trades.csv.gz",
        "rows": 45_536,
        "raw": "recv_ts_ns Int64, exch_ts_ms Nullable(Int64), venue String, symbol String, trade_id UInt64,"
               " price String, qty String, buyer_is_maker Bool",
        "columns": {"trade_id": "trade_id", "price": DECIMAL.format("price"), "qty": DECIMAL.format("qty"),
                    "buyer_is_maker": "buyer_is_maker"},
    },
}
COMMON = {"recv_ts": "toUnixTimestamp64Nano(recv_ts)", "exch_ts": "toUnixTimestamp64Milli(exch_ts)"}
COMMON_RAW = {"recv_ts": "recv_ts_ns", "exch_ts": "exch_ts_ms"}


def hashes(server, table, expressions):
    """count, and per column the wrapping sum and xor of its values' hashes."""
    parts = ["count()"]
    for expression in expressions:
        # NULL hashes to NULL, which sums leave out: stand in for it.
        value = f"cityHash64(ifNull(toString({expression}), 'NULL'))"
        parts += [f"sum({value})", f"groupBitXor({value})"]
    return server.query(f"SELECT {', '.join(parts)} FROM {table} FORMAT TSV").strip().split("\t")


class MarketData(unittest.TestCase):
    def load_by_engine(self, server, table, spec):
        server.query(f"CREATE TABLE raw.{table} ({spec['raw']}) ENGINE = MergeTree ORDER BY tuple()")
        with gzip.open(DATA / spec["file"]) as file:
            server.insert(f"raw.{table}", "CSVWithNames", file.read())

    def test_everything_arrives(self):
        with ChdbServer() as server:
            server.query("CREATE DATABASE raw")
            with Recorder(server, {name: {} for name in TABLES}) as recorder:
                recorder.run("coldpath-market", "--region", recorder.region, "--speed", "max", "--json",
                             "--l2", DATA / TABLES["l2_updates"]["file"], "--quotes", DATA / TABLES["quotes"]["file"],
                             "--trades", DATA / TABLES["trades"]["file"], check=True)
                status = recorder.wait_delivered()
                self.assertTrue(status["balanced"], status)
                for table, spec in TABLES.items():
                    with self.subTest(table=table):
                        self.load_by_engine(server, table, spec)
                        names = ["venue", "symbol", *spec["columns"]]
                        ours = hashes(server, f"test.{table}", [*COMMON.values(), *names])
                        raw = hashes(server, f"raw.{table}",
                                     [*COMMON_RAW.values(), "venue", "symbol", *spec["columns"].values()])
                        self.assertEqual(int(ours[0]), spec["rows"])
                        self.assertEqual(ours, raw)
                        distinct = server.query(f"SELECT uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.{table}")
                        self.assertEqual(int(distinct), spec["rows"])


if __name__ == "__main__":
    if not engine_present() or not all((DATA / spec["file"]).exists() for spec in TABLES.values()):
        print(f"skipped: the engine or the data ({DATA}) is not here")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
