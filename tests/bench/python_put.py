"""What a put costs a Python program, beside what it cost with the writer that coldpath takes the place of: one process, one run,
interleaved, one JSON object on standard output.

    put        table.put(dict) of obf_universe, 11 columns
    append     table.append(*values) of the same
    ch_put     coldpath.ch_writer.ch_put, the drop-in
    put_array  table.put_array of a structured array of 10,000 rows, per row
    incumbent  the old writer's put, made again from its description: json.dumps of the dict, a lock, an INSERT into a SQLite
               table in WAL mode with autocommit (synchronous=NORMAL, an index, its background thread's checkpoints aside)

Each put is timed alone, by perf_counter_ns, less the median of an empty pair of readings; its row is made just before, as
programs do. A recorder and ClickHouse (the
embedded one) take the rows meanwhile, on the same machine, so that no ring is full. Options: --seconds (CP_SECONDS),
--directory of the SQLite file, --aims (CP_AIMS=1): exit 1 when an aim is missed: put p50 ≤ 300 ns, 50 times faster at p50,
1000 times at p99.9, put_array ≤ 25 ns a row. Without it only the ratio at p50 decides, which no host can hide.
"""

import argparse
import gc
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time

import numpy

import coldpath
from coldpath import ch_writer
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

BLOCK = 500          # puts of one kind in a row, before it is another's turn
ARRAY_ROWS = 10_000
SYMBOLS = ["BTCUSDT", "ETHUSDT", "DOGEUSDT", "SOLUSDT", "XRPUSDT"]
DTYPE = [("ts", "i8"), ("symbol", "S12"), ("spread_bps", "f4"), ("depth_1pct_usd", "f8"), ("depth_quality", "f4"),
         ("fill_probability", "f4"), ("imbalance", "f4"), ("best_bid", "f8"), ("best_ask", "f8"), ("n_bid_levels", "u1"),
         ("n_ask_levels", "u1")]


class Incumbent:
    """The old writer's put."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "writer.sqlite3")
        self.lock = threading.RLock()
        self.wake = threading.Event()
        self.connection = sqlite3.connect(self.path, timeout=0.05, isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA temp_store=MEMORY",
                          "CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, "
                          "payload TEXT NOT NULL, created_ts_us INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0)",
                          "CREATE INDEX idx_queue_id ON queue(id)", "CREATE INDEX idx_queue_table ON queue(table_name, id)"):
            self.connection.execute(statement)

    def put(self, row):
        payload = json.dumps(row, separators=(",", ":"), ensure_ascii=False)
        if not self.lock.acquire(timeout=0.1):
            return
        try:
            self.connection.execute("INSERT INTO queue(table_name, payload, created_ts_us) VALUES (?, ?, ?)",
                                    ("obf_universe", payload, int(time.time() * 1_000_000)))
        finally:
            self.lock.release()
        self.wake.set()


def make_values(count, seed):
    source = random.Random(seed)
    return [[1_776_269_557_000 + i, source.choice(SYMBOLS), source.random(), source.random() * 1e5, source.random(),
             source.random(), source.random(), 84500 + source.random(), 84501 + source.random(), source.randrange(20),
             source.randrange(20)] for i in range(count)]


def make_row(values):
    """As programs write it: a literal."""
    return {"ts": values[0], "symbol": values[1], "spread_bps": values[2], "depth_1pct_usd": values[3],
            "depth_quality": values[4], "fill_probability": values[5], "imbalance": values[6], "best_bid": values[7],
            "best_ask": values[8], "n_bid_levels": values[9], "n_ask_levels": values[10]}


def time_dicts(put, values, out):
    clock = time.perf_counter_ns
    for each in values:
        row = make_row(each)
        begin = clock()
        put(row)
        out.append(clock() - begin)


def time_values(append, values, out):
    clock = time.perf_counter_ns
    for each in values:
        row = tuple(each)
        begin = clock()
        append(*row)
        out.append(clock() - begin)


def time_nothing(count):
    clock = time.perf_counter_ns
    times = []
    for _ in range(count):
        begin = clock()
        times.append(clock() - begin)
    return sorted(times)[count // 2]


def figures(times, floor):
    times = sorted(times)

    def at(part):
        return max(1, times[min(len(times) - 1, int(len(times) * part))] - floor)

    return {"puts": len(times), "p50_ns": at(0.5), "p99_ns": at(0.99), "p99.9_ns": at(0.999), "max_ns": times[-1] - floor}


def measure(table, ch_put, old, seconds, seed):
    values = make_values(BLOCK, seed)
    array = numpy.array([tuple(values[i % BLOCK]) for i in range(ARRAY_ROWS)], dtype=DTYPE)
    times = {name: [] for name in ("put", "append", "ch_put", "incumbent")}
    per_row = []
    deadline = time.monotonic() + seconds
    gc.collect()
    gc.disable()
    while time.monotonic() < deadline:
        time_dicts(table.put, values, times["put"])
        time_values(table.append, values, times["append"])
        time_dicts(lambda row: ch_put("obf_universe", row), values, times["ch_put"])
        time_dicts(old.put, values, times["incumbent"])
        begin = time.perf_counter_ns()
        put = table.put_array(array)
        per_row.append((time.perf_counter_ns() - begin) / max(1, put))
        assert put == ARRAY_ROWS, "the ring is full: the recorder does not keep up"
    gc.enable()
    floor = time_nothing(10_000)
    result = {name: figures(taken, floor) for name, taken in times.items()}
    per_row.sort()
    result["put_array"] = {"arrays": len(per_row), "rows_per_array": ARRAY_ROWS, "p50_ns_per_row": per_row[len(per_row) // 2],
                           "p99_ns_per_row": per_row[int(len(per_row) * 0.99)]}
    for name in ("put", "append", "ch_put"):
        result[name]["times_faster"] = {part: round(result["incumbent"][f"{part}_ns"] / result[name][f"{part}_ns"], 1)
                                        for part in ("p50", "p99", "p99.9")}
    return result


def main():
    parser = argparse.ArgumentParser(description="what a put costs a Python program")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("CP_SECONDS") or 10))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CP_SEED") or 1))
    parser.add_argument("--directory", help="where the SQLite file goes")
    parser.add_argument("--aims", action="store_true", default=bool(os.environ.get("CP_AIMS")))
    args = parser.parse_args()
    if not engine_present():
        return SKIP
    with ChdbServer() as server, Recorder(server, {"obf_universe": {"ring_size": "16MiB"}}) as recorder, \
            tempfile.TemporaryDirectory(dir=args.directory) as directory:
        region = coldpath.attach(str(recorder.region), producer="bench")
        old = Incumbent(directory)
        table = region.table("obf_universe")
        writer = ch_writer._CHWriter(str(recorder.region))
        result = measure(table, writer.put, old, args.seconds, args.seed)
        refused = table.stats()["refused"] + writer.full + writer.missing
        put = table.stats()["put"] + writer.stats()["put"]
        table.wait_delivered(60)
        writer.wait_delivered(60)
        held = int(server.query("SELECT count() FROM test.obf_universe"))
        old.connection.close()
    faster = result["put"]["times_faster"]
    aims = {"put p50 at most 300 ns": result["put"]["p50_ns"] <= 300, "50 times faster at p50": faster["p50"] >= 50,
            "1000 times faster at p99.9": faster["p99.9"] >= 1000,
            "put_array at most 25 ns a row": result["put_array"]["p50_ns_per_row"] <= 25}
    print(json.dumps({"bench": "python_put", "seconds": args.seconds, "seed": args.seed, "python": sys.version.split()[0],
                      "processors": os.cpu_count(), **result, "aims": aims, "rows_put": put, "rows_refused": refused,
                      "rows_held": held}))
    if held != put or refused:
        return 1
    return 0 if (all(aims.values()) if args.aims else aims["50 times faster at p50"]) else 1


if __name__ == "__main__":
    sys.exit(main())
