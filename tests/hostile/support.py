"""What the hostile tests share: one table three times, producers that behave, and what has to hold for their rows."""

import os
import re
import sys
import threading
import time

from tests.support.chdb import ChdbServer
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 6)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
SETTLE_SECONDS = 60
ROWS_PER_WRITE = 20
PAUSE = 0.01  # between writes: 2,000 rows a second and producer

DDL = """CREATE TABLE IF NOT EXISTS {name}
(who LowCardinality(String), seq UInt64, at DateTime64(9, 'UTC'), price Decimal(18, 8), qty Float64, note String,
 code Nullable(Int32), levels Array(UInt32), side Enum8('buy' = 1, 'sell' = 2), day Date, ok Bool,
 _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY (who, seq) SETTINGS non_replicated_deduplication_window = 10000"""
FLUSH = {"interval": "50ms"}
SLOTS = 12
TABLES = {
    "target": {"slots": SLOTS, "ring_size": "256KiB", "row_max": "4KiB", "flush": FLUSH},  # what is attacked
    "witness": {"slots": 2, "ring_size": "1MiB", "row_max": "4KiB", "class": "critical", "wal_limit": "256MiB", "flush": FLUSH},
    "bystander": {"slots": 2, "ring_size": "1MiB", "row_max": "4KiB", "flush": FLUSH},
}


def log_events(text, message):
    """The log's lines with this msg, each as a dict of its fields."""
    events = []
    for line in text.splitlines():
        fields = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)}
        if fields.get("msg") == message:
            events.append(fields)
    return events


class Producer(threading.Thread):
    """One `coldpath put`, fed little by little; its rows are who, 0 1 2 …"""

    def __init__(self, recorder, table, who="good"):
        super().__init__(daemon=True)
        self.table, self.who, self.rows = table, who, 0
        self.end = threading.Event()
        self.process = recorder.popen("coldpath", "put", table, "--format", "CSV", "--producer", who, "--timeout", "600s", "--json",
                                      stdin=-1, stdout=-1, stderr=-1)
        self.start()

    def run(self):
        try:
            while not self.end.wait(PAUSE):
                rows = range(self.rows, self.rows + ROWS_PER_WRITE)
                self.process.stdin.write("".join(
                    f'{self.who},{n},{1_700_000_000_000_000_000 + n},{n}.5,0.25,"note {n}",{n % 9},"[1,2]",buy,2026-01-01,1\n'
                    for n in rows).encode())
                self.process.stdin.flush()
                self.rows += ROWS_PER_WRITE
        except OSError:  # its exit code tells why
            pass

    def finish(self):
        self.end.set()
        self.join()
        out, error = self.process.communicate(timeout=SETTLE_SECONDS)
        if self.process.returncode != 0:
            raise AssertionError(f"put {self.table}: exit {self.process.returncode}: {(out + error).decode()}")


def make(case, extra=None, region=None, start=True):
    """Server and recorder, started unless not wanted, and their ends with the test's."""
    print(f"seed: CP_SEED={SEED}", file=sys.stderr)
    case.server = ChdbServer(build=os.environ.get("COLDPATH_CHDB_BUILD")).start()
    case.addCleanup(case.server.stop)
    settings = {"recorder": {"stop_timeout": "3s"}, "clickhouse": {"retry_min": "20ms", "retry_max": "200ms"}}
    case.recorder = recorder = Recorder(case.server, {}, extra=settings | (extra or {}))
    case.addCleanup(recorder.close)
    if region:
        recorder.region_root, recorder.region = region, region / "test"
        recorder.settings["region"]["dir"] = str(region)
    for name, table in TABLES.items():
        ddl = recorder.work / f"{name}.sql"
        ddl.write_text(DDL.format(name=name))
        recorder.settings["tables"][name] = table | {"ddl": str(ddl)}
    recorder.settings["wal"] = {"dir": str(recorder.work / "wal"), "segment_size": "8MiB"}
    recorder.write_config()
    recorder.run("coldpath", "init", check=True)
    if start:
        recorder.start()


def check_arrived(case, producer):
    """Every row of a producer is in ClickHouse, once, as it was put."""
    sql = (f"SELECT count(), uniqExact(seq), countIf(note = concat('note ', toString(seq)) AND levels = [1, 2]) FROM {producer.table} "
           f"WHERE who = '{producer.who}'")
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        held = [int(value) for value in case.server.query(sql, database="test").split()]
        if held == [producer.rows] * 3:
            return
        if held[0] > producer.rows or time.monotonic() > deadline:
            raise AssertionError(f"{producer.table}: {held} rows, once, sound; put {producer.rows}\n{case.recorder.read_log()[-3000:]}")
        time.sleep(0.1)
