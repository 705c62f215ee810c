"""Four processes put into five tables each, at the same time; each forks in the middle and puts on in both halves; no one closes
anything, one is killed. Every row arrives, once."""
import os
import random
import signal
import subprocess
import sys

import pytest

import coldpath
from tests.support.chdb import ChdbServer, engine_present
from tests.support.recorder import Recorder

pytestmark = pytest.mark.skipif(not engine_present(), reason="the embedded engine is not here")

SEED = int(os.environ.get("CP_SEED") or random.randrange(1 << 32))
TABLES = {"trade_events": {"class": "critical", "slots": 16}, "eigen_scans": {"slots": 16}, "obf_universe": {"slots": 16},
          "acb_state": {"slots": 16}, "status_snapshots": {"slots": 16}}
PUTS = 3000

# Row i of process p: the column that says which, for each table.
PROGRAM = '''
import os, sys, time
import coldpath

path, number, puts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
region = coldpath.attach(path, producer=f"worker {number}")
rows = {"trade_events": lambda n: {"ts": n, "pnl": float(n)}, "eigen_scans": lambda n: {"ts": n, "scan_number": n},
        "obf_universe": lambda n: {"ts": n, "best_bid": float(n)}, "acb_state": lambda n: {"ts": n, "boost": float(n)},
        "status_snapshots": lambda n: {"ts": n, "capital": float(n)}}
now = int(time.time())
tables = {name: region.table(name) for name in rows}
per_second = {name: 10 ** int(table.types["ts"][len("DateTime64("):].split(",")[0]) for name, table in tables.items()}

def run(first, count):
    for n in range(first, first + count):
        for name, table in tables.items():
            row = rows[name](n)
            row["ts"] = now * per_second[name]
            while not table.put(row):
                time.sleep(0.001)

first = number * 4 * puts
run(first, puts)
child = os.fork()
run(first + (2 if child == 0 else 1) * puts, puts)
if child == 0:
    if number == 0:
        os.kill(os.getpid(), 9)  # one is killed, all of its rows put
    sys.exit(0)
os.waitpid(child, 0)
'''


def test_four_processes_five_tables():
    print(f"CP_SEED={SEED}")
    source = random.Random(SEED)
    with ChdbServer() as server, Recorder(server, TABLES, database="dolphin", extra={"schema": {"set": "dolphin"}}) as recorder:
        workers = [subprocess.Popen([sys.executable, "-B", "-c", PROGRAM, str(recorder.region), str(number), str(PUTS)])
                   for number in range(4)]
        for _ in range(source.randrange(1, 3)):
            recorder.stop(signal.SIGKILL)
            recorder.start()
        for worker in workers:
            assert worker.wait(120) == 0
        status = recorder.wait_delivered()
        assert status["balanced"]
        total = 4 * 3 * PUTS
        for table, column in (("trade_events", "pnl"), ("eigen_scans", "scan_number"), ("obf_universe", "best_bid"), ("acb_state", "boost"),
                              ("status_snapshots", "capital")):
            held = server.query(f"SELECT count(), uniqExact({column}), sum(toUInt64({column})) FROM {table}", database="dolphin").split()
            numbers = [n for worker in range(4) for n in range(worker * 4 * PUTS, worker * 4 * PUTS + 3 * PUTS)]
            assert held == [str(total), str(total), str(sum(numbers))], table
        assert all(table["producers"] == 0 for table in status["tables"])


def test_multiprocessing_pool():
    """As programs have it: a handle at module level, used by the workers of a pool that forks."""
    import multiprocessing
    with ChdbServer() as server, Recorder(server, TABLES, database="dolphin", extra={"schema": {"set": "dolphin"}}) as recorder:
        global pool_table
        pool_table = coldpath.attach(str(recorder.region)).table("eigen_scans")
        with multiprocessing.get_context("fork").Pool(4) as pool:
            assert all(pool.map(put_one, range(2000), chunksize=50))
        assert pool_table.put({"scan_number": 2000, "ts": "2050-01-01"})
        recorder.wait_delivered()
        held = server.query("SELECT count(), uniqExact(scan_number), max(scan_number) FROM eigen_scans", database="dolphin").split()
        assert held == ["2001", "2001", "2000"]


pool_table = None


def put_one(number):
    return pool_table.put({"scan_number": number, "ts": "2050-01-01"})
