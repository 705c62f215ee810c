"""An hour's outage, compressed: $CP_ROWS critical rows (20 M) gather in the log while ClickHouse is down; then it returns, and
the backlog drains beside 20,000 new rows a second. Shows, as one JSON line: the recorder's memory, the rate of the backlog
against the live rate, and how old the newest row in ClickHouse gets (the live lag) against what it is without a backlog.
Exits 1 when a row is missing or twice, or a bound is broken: backlog rate ≥ 10 × live, lag < 2 × normal, memory < 512 MB."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

ROWS = int(os.environ.get("CP_ROWS") or 20_000_000)
OUTAGE_SECONDS = 15
LIVE_ROWS_PER_S = 20_000
NORMAL_SECONDS = 6
MOST_RSS_MB = 512
TABLE = {"class": "critical", "wal_limit": "8GiB", "ring_size": "64MiB", "slots": 2,
         "flush": {"rows": 100000, "interval": "250ms"}}  # at this rate the interval decides, as ClickHouse likes it


def put_obf(recorder, seconds, rate):
    return subprocess.Popen([str(recorder.build / "bin/put_obf"), str(recorder.region), str(seconds), str(rate)],
                            stdout=subprocess.PIPE, text=True)


def rows_of(producer):
    out, _ = producer.communicate()
    return json.loads(out)["rows"]


def lag(server):
    newest = "toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(ts))"
    return float(server.query(f"SELECT ({newest}) / 1000 FROM test.obf_universe WHERE ts > now() - 60"))


def lags(server, recorder, until):
    """The lag, looked at until a condition on the rows in the log holds; the worst, and how long it took."""
    begin = time.monotonic()
    worst = 0.0
    while not until(recorder.status()["tables"][0]["rows_in_log"], time.monotonic() - begin):
        worst = max(worst, lag(server))
        time.sleep(0.1)
    return worst, time.monotonic() - begin


def run(server, recorder):
    put = 0
    live = put_obf(recorder, NORMAL_SECONDS, LIVE_ROWS_PER_S)
    time.sleep(2)
    normal, _ = lags(server, recorder, lambda rows, seconds: seconds > NORMAL_SECONDS - 3)
    put += rows_of(live)
    recorder.wait_delivered()
    server.args += ["--port", str(server.port)]
    server.end()
    put += rows_of(put_obf(recorder, OUTAGE_SECONDS, ROWS // OUTAGE_SECONDS))
    backlog = recorder.status()["tables"][0]["rows_in_log"]
    live = put_obf(recorder, 60, LIVE_ROWS_PER_S)
    server.start()
    while lag(server) > 5:  # until new rows go first
        time.sleep(0.02)
    worst, seconds = lags(server, recorder, lambda rows, _: rows < LIVE_ROWS_PER_S)
    put += rows_of(live)
    recorder.wait_delivered()
    held = int(server.query("SELECT count() FROM test.obf_universe"))
    return {"put": put, "held": held, "backlog": backlog, "backlog_seconds": round(seconds, 2),
            "backlog_rate_over_live": round(backlog / seconds / LIVE_ROWS_PER_S, 1), "normal_lag_s": round(normal, 3),
            "backlog_lag_s": round(worst, 3), "lag_ratio": round(worst / normal, 2),
            "recorder_rss_mb": round(recorder.rss_bytes() / 1e6, 1)}


def main():
    path = tempfile.mkdtemp(prefix="coldpath-outage-")
    try:
        with ChdbServer(path=path, args=["--threads", "1"]) as server:
            extra = {"clickhouse": {"retry_min": "50ms", "retry_max": "500ms"}, "wal": {"segment_size": "64MiB"}}
            with Recorder(server, {"obf_universe": TABLE}, extra=extra) as recorder:
                result = run(server, recorder)
    finally:
        shutil.rmtree(path, ignore_errors=True)
    print(json.dumps(result))
    sound = (result["put"] == result["held"] and result["backlog_rate_over_live"] >= 10 and result["lag_ratio"] < 2
             and result["recorder_rss_mb"] < MOST_RSS_MB)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
