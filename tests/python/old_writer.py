"""The old writer's spool, made again from its description, for tests: the queue it writes, and a process that goes on appending.

    python3 old_writer.py FILE ROWS [--delay SECONDS]      appends ROWS rows; prints how often one was refused by a lock, and
                                                       put again (the old writer would have dropped it)
"""
import argparse
import json
import sqlite3
import sys
import time


class Spool:
    def __init__(self, path):
        self.connection = sqlite3.connect(path, timeout=0.05, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, "
                                "payload TEXT NOT NULL, created_ts_us INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0)")
        self.connection.execute("CREATE INDEX IF NOT EXISTS idx_queue_table ON queue(table_name, id)")
        self.failed = 0

    def put(self, table, row):
        payload = row if isinstance(row, str) else json.dumps(row, separators=(",", ":"), ensure_ascii=False)
        try:
            self.connection.execute("INSERT INTO queue(table_name, payload, created_ts_us) VALUES (?, ?, ?)",
                                    (table, payload, int(time.time() * 1e6)))
        except sqlite3.OperationalError:
            self.failed += 1

    def fill(self, rows):
        self.connection.execute("BEGIN")
        for table, row in rows:
            self.put(table, row)
        self.connection.execute("COMMIT")

    def count(self):
        return self.connection.execute("SELECT count(*) FROM queue").fetchone()[0]


TODAY_S = int(time.time()) // 86400 * 86400  # old rows would be taken away by their tables' TTL


def make(i):
    """Row i: of three tables, and every one is told from every other."""
    if i % 3 == 0:
        return "trade_events", {"ts": TODAY_S * 1_000_000 + i, "date": "2026-04-15", "asset": f"A{i % 7}", "pnl": i / 4,
                                "scan_uuid": str(i), "posture": None}
    if i % 3 == 1:
        return "obf_universe", {"ts": TODAY_S * 1000 + i, "symbol": "BTCUSDT", "best_bid": i, "unknown": [1, {}]}
    return "status_snapshots", {"ts": TODAY_S * 1000 + i, "capital": float(i), "posture": "APEX"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("rows", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0)
    args = parser.parse_args()
    spool = Spool(args.file)
    for i in range(args.first, args.first + args.rows):
        refused = -1
        while refused != spool.failed:
            refused = spool.failed
            spool.put(*make(i))
        if args.delay:
            time.sleep(args.delay)
    print(spool.failed)


if __name__ == "__main__":
    sys.exit(main())
