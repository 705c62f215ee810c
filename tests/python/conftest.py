"""A region of a test's own, made by `coldpath init` from a configuration, without a recorder."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

BUILD = pathlib.Path(os.environ.get("COLDPATH_BUILD", "build")).resolve()
DDL = """CREATE TABLE every (
    i8 Int8, i16 Int16, i32 Int32, i64 Int64, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64,
    f32 Float32, f64 Float64, yes Bool, day Date, day32 Date32, at DateTime, at3 DateTime64(3, 'UTC'),
    at9 DateTime64(9, 'UTC'), there DateTime64(3, 'Asia/Tokyo'), text String, low LowCardinality(String),
    code FixedString(4), side Enum8('B' = 1, 'A' = 2), kind Enum16('x' = -300, 'ü' = 300, '7' = 8),
    id UUID, d9 Decimal(9, 4), d18 Decimal(18, 8), d38 Decimal(38, 10), v4 IPv4, v6 IPv6,
    n Nullable(Int32), nt Nullable(DateTime64(3, 'UTC')), ns Nullable(String), five Int32 DEFAULT 5,
    word String DEFAULT 'none', af Array(Float64), an Array(Nullable(Int16)), at_texts Array(String), ad Array(Decimal(9, 2)),
    _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64
) ENGINE = MergeTree ORDER BY i64 SETTINGS non_replicated_deduplication_window = 1000"""
NEEDED = """CREATE TABLE needed (id UInt32, at DateTime64(3, 'UTC') DEFAULT now64(3), x Float64)
ENGINE = MergeTree ORDER BY id"""


def fork_alone():
    """os.fork(), once the threads that were joined have gone from the kernel's list too: gcc's AddressSanitizer does not hold its allocator's
    locks over a fork, and one that an ending thread has at that moment stays locked in the child."""
    until = time.monotonic() + 10
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
        time.sleep(0.001)
    return os.fork()


class Place:
    """A region and its configuration; settings can be changed and prepared again."""

    def __init__(self, tables, namespace="test"):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-python-", dir="/dev/shm"))
        self.config = self.work / "coldpath.yaml"
        self.ddl = self.work / "ddl"
        self.ddl.mkdir()
        (self.ddl / "every.sql").write_text(DDL)
        (self.ddl / "needed.sql").write_text(NEEDED)
        shipped = pathlib.Path(__file__).parents[2] / "schema/ddl"
        for path in (*shipped.glob("*.sql"), *(shipped / "dolphin").glob("*.sql")):
            shutil.copy(path, self.ddl)
        self.settings = {"namespace": namespace, "region": {"dir": str(self.work / "region")},
                         "schema": {"dir": str(self.ddl)}, "clickhouse": {"url": "http://127.0.0.1:9"}, "tables": tables}
        self.path = str(self.work / "region" / namespace)
        self.init()

    def init(self):
        self.config.write_text(json.dumps(self.settings))
        self.run("init", "--no-tables")

    def run(self, *args):
        done = subprocess.run([BUILD / "bin/coldpath", *args, "--config", self.config], capture_output=True, text=True,
                              env=environment(), timeout=60, check=False)
        assert done.returncode == 0 or args[0] == "status", done.stderr  # no recorder runs
        return done.stdout

    def rows(self, table):
        """Rows that wait in the table's rings, as the recorder's own reader counts them."""
        status = json.loads(self.run("status", "--json"))
        return next(it for it in status["tables"] if it["table"] == table)["rows_in_ring"]

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)


def environment():
    """Programs are not Python: what is preloaded for it is not for them."""
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("COLDPATH_")}


@pytest.fixture
def place():
    made = Place({"every": {"row_max": "16KiB"}, "needed": {"ring_size": "64KiB", "slots": 2},
                  "obf_universe": {"ring_size": "1MiB"}, "quotes": {"ring_size": "1MiB"}, "trade_events": {}})
    yield made
    made.remove()
