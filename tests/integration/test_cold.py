"""`coldpath export` and `coldpath latest` against the embedded engine: the recorded quotes as Parquet, Arrow and JSON, read
back by the engine, equal the table; a run that was broken off goes on; nothing is written over; the newest row of every key."""

import fcntl
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present

DATA = pathlib.Path(os.environ.get("COLDPATH_TEST_DATA") or "data")
ROW = "cityHash64(toString(tuple(*)))"  # of the columns as they are, the hash of one NULL would be NULL
HASH = f"SELECT count(), sum({ROW}), groupBitXor({ROW}) FROM "
TABLE = """CREATE TABLE t (ts DateTime64(6, 'UTC'), symbol LowCardinality(String), side Enum8('B' = 1, 'A' = 2),
 price Decimal(18, 8), levels Array(Decimal(18, 8)), note Nullable(String), id UUID)
ENGINE = MergeTree PARTITION BY toDate(ts) ORDER BY (symbol, ts) SETTINGS non_replicated_deduplication_window = 10"""


class Cold(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        work = tempfile.TemporaryDirectory(prefix="coldpath-cold-test-")
        self.addCleanup(work.cleanup)
        self.work = pathlib.Path(work.name)
        self.database = self.id().rpartition(".")[2]
        self.configure(self.server.url)
        self.server.query(f"CREATE DATABASE {self.database}")

    def configure(self, url, tables=("t",)):
        self.config = self.work / "coldpath.yaml"
        settings = {"namespace": "test", "region": {"dir": str(self.work / "region")}, "clickhouse":
                    {"url": url, "database": self.database}, "tables": {name: {} for name in tables}}
        if "t" in tables:
            (self.work / "t.sql").write_text(TABLE)
            settings["schema"] = {"dir": str(self.work)}
        self.config.write_text(json.dumps(settings))

    def run_program(self, *args, program="coldpath", code=0):
        done = subprocess.run([build_dir() / "bin" / program, *map(str, args), "--config", self.config],
                              capture_output=True, text=True, timeout=300, cwd=self.work)
        self.assertEqual(done.returncode, code, (args, done.stdout[-2000:], done.stderr[-2000:]))
        return done

    def export(self, *args, code=0):
        return json.loads(self.run_program("export", "t", "--json", *args, code=code).stdout)

    def fill(self, days=5, rows=2000):
        self.server.query(TABLE, database=self.database)
        self.server.query(f"INSERT INTO {self.database}.t SELECT toDateTime64('2024-02-27 00:00:00', 6, 'UTC') + "
                          f"number * {days * 86400} / {rows * days}, ['A', 'B', 'it''s', 'ü'][number % 4 + 1], number % 2 + 1, "
                          "number / 8, arrayMap(x -> x / 4, range(number % 5)), if(number % 3, toString(number), NULL), "
                          f"generateUUIDv4() FROM numbers({rows * days})")

    def read_back(self, data_format, suffix, directory):
        self.server.query(f"DROP TABLE IF EXISTS {self.database}.back")
        self.server.query(f"CREATE TABLE {self.database}.back AS {self.database}.t")
        for file in sorted(directory.glob(f"*.{suffix}")):
            self.server.insert(f"{self.database}.back", data_format, file.read_bytes())
        return self.server.query(HASH + f"{self.database}.back")

    def test_days_outside_of_date(self):
        """A row of before 1970, or after 2149, is named by its day; it makes no file, nor is it counted to another's."""
        self.fill(days=1, rows=10)
        self.server.query(f"INSERT INTO {self.database}.t (ts, symbol) VALUES ('1969-12-31 23:59:58.5', 'A'), ('2200-01-01', 'A')")
        answer = self.export("--from", "1960-01-01", "--to", "2250-01-01", "--format", "JSONEachRow", "--dir", "out")
        self.assertEqual(answer["rows_written"], 10)
        self.assertEqual({path.name: len(path.read_text().splitlines()) for path in (self.work / "out").iterdir()},
                         {"2024-02-27.jsonl": 10})
        self.assertEqual([(file["file"], file["rows"], file["result"]) for file in answer["files"]],
                         [("out/1969-12-31.jsonl", 1, "left out: before 1970"), ("out/2024-02-27.jsonl", 10, "written"),
                          ("out/2200-01-01.jsonl", 1, "left out: the day is not over")])

    def test_formats(self):
        self.fill()
        whole = self.server.query(HASH + f"{self.database}.t")
        for data_format, suffix in (("Parquet", "parquet"), ("Arrow", "arrow"), ("JSONEachRow", "jsonl")):
            with self.subTest(format=data_format):
                answer = self.export("--from", "2024-02-01", "--to", "2024-04-01", "--format", data_format, "--dir", "out")
                self.assertEqual(answer["rows_written"], 10000)
                names = sorted(path.name for path in (self.work / "out").glob(f"*.{suffix}"))
                self.assertEqual(names, [f"2024-02-{day}.{suffix}" for day in (27, 28, 29)]
                                 + [f"2024-03-0{day}.{suffix}" for day in (1, 2)])
                self.assertEqual(self.read_back(data_format, suffix, self.work / "out"), whole)
        first = json.loads((self.work / "out/2024-02-28.jsonl").read_text().splitlines()[0])
        self.assertTrue(first["ts"].startswith("2024-02-28 00:00:00"), first)

    def test_goes_on(self):
        """Days that are there are left alone, whatever they hold; --force writes them anew; half a file is begun anew."""
        self.fill()
        self.export("--from", "2024-02-27", "--to", "2024-02-28")
        out = self.work / "t"
        kept = out / "2024-02-27.parquet"
        kept.write_bytes(b"mine")
        (out / "2024-02-29.parquet.part").write_bytes(b"half")
        answer = self.export("--from", "2024-02-27", "--to", "2024-03-02")
        self.assertEqual([file["result"] for file in answer["files"]], ["there already"] * 2 + ["written"] * 3)
        self.assertEqual(kept.read_bytes(), b"mine")
        self.assertEqual(list(out.glob("*.part")), [])
        self.export("--from", "2024-02-27", "--force")
        self.assertEqual(self.read_back("Parquet", "parquet", out), self.server.query(HASH + f"{self.database}.t"))

    def test_part_files(self):
        """A .part file that another run writes is left to it; one whose run was killed when it had named the file does not cost
        that file."""
        self.fill()
        self.export("--from", "2024-02-27")
        whole, part, third = (self.work / "t" / name for name in ("2024-02-27.parquet", "2024-02-27.parquet.part", "third"))
        content = whole.read_bytes()
        for name in (part, third):
            os.link(whole, name)
        self.export("--from", "2024-02-27", "--force")
        self.assertEqual(third.read_bytes(), content)
        self.assertEqual(whole.stat().st_nlink, 1)
        self.assertFalse(part.exists())
        with open(part, "wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            other.write(b"half")
            self.assertIn("written by another run", self.export("--from", "2024-02-27", "--force", code=69)["error"])
        self.assertEqual(part.read_bytes(), b"half")
        self.export("--from", "2024-02-27", "--force")
        self.assertFalse(part.exists())

    def test_server_dies(self):
        """Whenever the server goes away, what has a file's name is a whole file; the next run completes the rest."""
        server = ChdbServer(path=self.work / "chdb").start()
        self.addCleanup(server.stop)
        shared, self.server = self.server, server
        try:
            self.configure(server.url)
            server.query(f"CREATE DATABASE {self.database}")
            self.fill(days=8, rows=30000)
            whole = server.query(HASH + f"{self.database}.t")
            timer = threading.Timer(random.uniform(0.05, 0.3), server.end, (signal.SIGKILL,))
            timer.start()
            done = subprocess.run([build_dir() / "bin/coldpath", "export", "t", "--from", "2024-02-27", "--to", "2024-03-20",
                                   "--config", self.config], capture_output=True, text=True, timeout=300, cwd=self.work)
            timer.join()
            print(f"broken off: exit {done.returncode}, {len(list((self.work / 't').glob('*.parquet')))} of 8 files", flush=True)
            self.assertEqual(list((self.work / "t").glob("*.part")), [])
            server.start()
            self.configure(server.url)
            answer = self.export("--from", "2024-02-27", "--to", "2024-03-20")
            self.assertEqual(len(answer["files"]), 8)
            self.assertEqual(self.read_back("Parquet", "parquet", self.work / "t"), whole)
        finally:
            self.server = shared

    def test_edges(self):
        self.fill()
        self.server.query(f"INSERT INTO {self.database}.t (ts) SELECT now64(6)")
        answer = self.export("--from", "2024-03-02", "--to", "2100-01-01")
        self.assertEqual([file["result"] for file in answer["files"]], ["written", "left out: the day is not over"])
        self.assertEqual(self.export("--from", "2020-01-01")["files"], [])
        self.assertEqual(self.run_program("export", "t", "--from", "2020-01-01").stdout, "no rows in these days\n")
        for day in ("2024-02-30", "2024-2-3", "yesterday", "2024-02-27 "):
            self.run_program("export", "t", "--from", day, code=64)
        self.run_program("export", "t", "--from", "2024-02-02", "--to", "2024-02-01", code=64)
        self.assertIn("did you mean 'symbol'", self.run_program("export", "t", "--from", "2024-02-02", "--time", "symbl",
                                                              code=1).stderr)
        (self.work / "file").write_text("")
        self.run_program("export", "t", "--from", "2024-02-27", "--dir", "file", code=74)

    def test_latest(self):
        self.fill()
        last = [json.loads(line) for line in self.run_program("latest", "t").stdout.splitlines()]
        self.assertEqual([row["note"] for row in last], ["9999" if 9999 % 3 else None])
        by = [json.loads(line) for line in self.run_program("latest", "t", "--by", "symbol,side").stdout.splitlines()]
        wanted = self.server.query(f"SELECT symbol, side, max(ts) AS ts FROM {self.database}.t GROUP BY symbol, side "
                                   "ORDER BY symbol, side FORMAT JSONEachRow").splitlines()
        self.assertEqual([{key: row[key] for key in ("symbol", "side", "ts")} for row in by], list(map(json.loads, wanted)))
        self.assertEqual(json.loads(self.run_program("latest", "t", "--json").stdout)["result"]["rows"], 1)
        self.run_program("latest", "t", "--output", "warm.jsonl")
        self.run_program("latest", "t", "--output", "warm.jsonl", code=1)
        self.run_program("latest", "t", "--output", "warm.jsonl", "--force", "--by", "symbol")
        self.assertEqual(len((self.work / "warm.jsonl").read_text().splitlines()), 4)
        self.assertIn("did you mean 'symbol'", self.run_program("latest", "t", "--by", "symbo", code=1).stderr)
        self.run_program("latest", "t", "--time", "symbol", code=1)

    def test_latest_null(self):
        """NULL is a key like any other."""
        self.fill()
        by = [json.loads(line)["note"] for line in self.run_program("latest", "t", "--by", "note").stdout.splitlines()]
        self.assertEqual(by.count(None), 1)
        self.assertEqual(len(by), int(self.server.query(f"SELECT uniqExact(note) + 1 FROM {self.database}.t")))

    @unittest.skipUnless((DATA / "derived_binance_bbo.csv.gz").exists(), "the recorded market data is not here")
    def test_recorded_quotes(self):
        self.configure(self.server.url, ("quotes",))
        self.run_program("schema", "apply")
        raw = ("recv_ts_ns Int64, exch_ts_ms Nullable(Int64), venue String, symbol String, update_id UInt64, bid_px String,"
               " bid_qty String, ask_px String, ask_qty String")
        self.server.query(f"CREATE TABLE {self.database}.raw ({raw}) ENGINE = MergeTree ORDER BY tuple()")
        self.server.post({"query": f"INSERT INTO {self.database}.raw FORMAT CSVWithNames"},
                         (DATA / "derived_binance_bbo.csv.gz").read_bytes(), {"Content-Encoding": "gzip"})
        prices = ", ".join(f"toDecimal64({name}, 8)" for name in ("bid_px", "bid_qty", "ask_px", "ask_qty"))
        self.server.query(f"INSERT INTO {self.database}.quotes SELECT fromUnixTimestamp64Nano(recv_ts_ns, 'UTC'), "
                          f"fromUnixTimestamp64Milli(exch_ts_ms, 'UTC'), venue, symbol, update_id, {prices}, 1, 2, "
                          f"rowNumberInAllBlocks() FROM {self.database}.raw")
        days = self.server.query(f"SELECT min(toDate(recv_ts)), max(toDate(recv_ts)) FROM {self.database}.quotes").split()
        answer = json.loads(self.run_program("export", "quotes", "--from", days[0], "--to", days[1], "--dir", "quotes",
                                             "--json").stdout)
        self.assertEqual(answer["rows_written"], 165_215)
        self.server.query(f"CREATE TABLE {self.database}.back AS {self.database}.quotes")
        for file in (self.work / "quotes").iterdir():
            self.server.insert(f"{self.database}.back", "Parquet", file.read_bytes())
        self.assertEqual(self.server.query(HASH + f"{self.database}.back"),
                         self.server.query(HASH + f"{self.database}.quotes"))


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
