"""A script that was written for the old writer, of which only the import is changed, records to five databases, each with a recorder
of its own, while every recorder is killed again and again and ClickHouse is killed and comes back: nothing is lost, nothing
arrives twice."""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from tests.support.chdb import ChdbServer, engine_present
from tests.support.recorder import Recorder

pytestmark = pytest.mark.skipif(not engine_present(), reason="the embedded engine is not here")

SEED = int(os.environ.get("CP_SEED") or random.randrange(1 << 32))
SECONDS = 8
DATABASES = ["dolphin", "dolphin_green", "dolphin_prodgreen", "dolphin_pink", "dolphin_violet"]
TABLES = {"trade_events": {"class": "critical"}, "obf_universe": {}, "v7_decision_events": {}}

# As it was written, for ch_writer.py.
SCRIPT = '''
import sys, threading, time
from ch_writer import (ch_put, ch_put_green, ch_put_prodgreen, ch_put_pink, ch_put_violet, ch_put_pink_v7, ts_ms, ts_us, uuid7)

seconds = float(sys.argv[1])

def trade(put, i):
    put("trade_events", {"ts": ts_us(), "date": "2026-04-15", "strategy": "blue", "asset": "BTCUSDT", "side": "SHORT",
                         "entry_price": 84500.0, "exit_price": 84200.0, "pnl": float(i), "leverage": 9.0, "bars_held": 45,
                         "scan_uuid": uuid7()})

def run(put):
    end = time.monotonic() + seconds
    i = 0
    while time.monotonic() < end:
        trade(put, i)
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            put("obf_universe", {"ts": ts_ms(), "symbol": symbol, "spread_bps": 1.18, "best_bid": float(i), "n_bid_levels": 5})
        if put is ch_put_pink:
            ch_put_pink_v7("v7_decision_events", {"ts": ts_us(), "decision_id": uuid7(), "asset": "BTCUSDT", "detail": {"score": i}})
        i += 1
        time.sleep(0.001)
    print(put.__self__._db, i)

threads = [threading.Thread(target=run, args=(put,)) for put in (ch_put, ch_put_green, ch_put_prodgreen, ch_put_pink, ch_put_violet)]
for thread in threads: thread.start()
for thread in threads: thread.join()
'''


def test_drop_in():
    print(f"CP_SEED={SEED}")
    source = random.Random(SEED)
    root = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-drop-in-", dir="/dev/shm"))
    recorders = []
    server = ChdbServer().start()
    try:
        for database in DATABASES:
            recorders.append(Recorder(server, TABLES, database=database, extra={
                "namespace": database, "region": {"dir": str(root)}, "schema": {"set": "dolphin"},
                "clickhouse": {"retry_max": "500ms"}}).__enter__())
        script = root / "script.py"
        script.write_text(SCRIPT.replace("from ch_writer import", "from coldpath.ch_writer import"))
        put = subprocess.Popen([sys.executable, "-B", script, str(SECONDS)], stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"COLDPATH_REGION_DIR": str(root), "COLDPATH_CH_MISSING": "raise"})
        server.args = ["--port", str(server.port)]  # it comes back where it was
        outage = time.monotonic() + source.uniform(1, 3)
        kills = 0
        while put.poll() is None:
            time.sleep(source.uniform(0.05, 0.4))
            victim = source.choice(recorders)
            victim.stop(signal.SIGKILL)
            kills += 1
            victim.start()
            if outage and time.monotonic() > outage:
                server.end(signal.SIGKILL)
                time.sleep(2)
                server.start()
                outage = None
        counts = dict(line.split() for line in put.communicate()[0].splitlines())
        assert put.returncode == 0 and sorted(counts) == sorted(DATABASES)
        assert kills >= 5 and outage is None
        for recorder, database in zip(recorders, DATABASES):
            status = recorder.wait_delivered()
            rows = int(counts[database])
            assert rows > 100 and status["balanced"]
            held = server.query("SELECT count(), uniqExact(pnl), uniqExact(scan_uuid), max(pnl) FROM trade_events", database=database)
            assert held.split() == [str(rows), str(rows), str(rows), str(rows - 1)], database
            held = server.query("SELECT count(), uniqExact(symbol, best_bid) FROM obf_universe", database=database)
            assert held.split() == [str(3 * rows)] * 2, database
            held = server.query("SELECT count(), uniqExact(detail) FROM v7_decision_events", database=database)
            assert held.split() == [str(rows if database == "dolphin_pink" else 0)] * 2, "a namespace never writes into another"
    finally:
        for recorder in recorders:
            recorder.close()
        server.stop()
        shutil.rmtree(root, ignore_errors=True)
