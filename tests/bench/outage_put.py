"""What an outage of ClickHouse costs the producer: quotes at $CP_ROWS a second (1 M) into a lossy table with the whole pressure
ladder, and 2,000 rows a second into a critical one; ClickHouse up and down in turns. $CP_SECONDS: for all rounds (default 40).

Compares the time of a put (99.9 %) with ClickHouse away to that with ClickHouse there, medians over the rounds; sees that the
ladder climbs and comes down again, that the recorder's memory stays what it was, that every row of the lossy table is
delivered or counted as left out, and that of the critical table every row arrives, once, and no put was refused. Prints one JSON line;
exits 1 when one of them does not hold, or the ratio is over 1.1. `rows_per_s` is what the host managed."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 40)
ROWS_PER_S = int(os.environ.get("CP_ROWS") or 1_000_000)
CRITICAL_ROWS_PER_S = 2000
ROUND_SECONDS = 5
MOST_RATIO = 1.1
MOST_RSS_RATIO = 1.1
PRESSURE = {"rungs": ["suppress", "conflate", "drop"], "key": ["symbol", "venue"],
            "value": ["bid_px", "bid_qty", "ask_px", "ask_qty"], "dwell": "250ms", "calm": "500ms"}
QUOTES = {"ring_size": "64MiB", "slots": 2, "pressure": PRESSURE, "flush": {"max_rows": 500_000, "max_bytes": "64MiB"}}
FILLS = {"class": "critical", "wal_limit": "256MiB", "slots": 2}
ELSEWHERE = ("rows_suppressed", "rows_dropped", "rows_rejected", "rows_quarantined", "rows_in_ring", "rows_in_log")


def rss_bytes(recorder):
    for line in pathlib.Path(f"/proc/{recorder.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def table(recorder, name="quotes"):
    return next(entry for entry in recorder.status()["tables"] if entry["table"] == name)


def run_round(recorder):
    """Puts for a while; what it took, and how high the ladder stood and the memory rose meanwhile."""
    process = recorder.popen("put_paced", recorder.region, ROUND_SECONDS, 0, f"quotes:{ROWS_PER_S}",
                             f"fills:{CRITICAL_ROWS_PER_S}", stdout=subprocess.PIPE)
    level = rss = 0
    while process.poll() is None:
        level = max(level, table(recorder)["pressure"])
        rss = max(rss, rss_bytes(recorder))
        time.sleep(0.2)
    quotes, fills = json.loads(process.communicate()[0])["tables"]
    return {"put": quotes["put"], "full": quotes["full"], "skipped": quotes["skipped"], "fills": fills["put"],
            "fills_full": fills["full"], "p50_ns": quotes["put_ns"]["p50"], "p999_ns": quotes["put_ns"]["p999"],
            "level": level, "rss": rss}


def settle(recorder, timeout=60):
    """Until everything is delivered and the ladder stands at its foot."""
    recorder.wait_delivered(timeout)
    deadline = time.monotonic() + timeout
    while table(recorder)["pressure"] != 0:
        if time.monotonic() > deadline:
            raise AssertionError(f"the ladder does not come down: {table(recorder)}")
        time.sleep(0.05)


def run(server, recorder):
    rounds = {True: [], False: []}
    run_round(recorder)  # the first touches what was never touched
    settle(recorder)
    for _ in range(max(1, SECONDS // ROUND_SECONDS // 2)):
        rounds[True].append(run_round(recorder))
        settle(recorder)
        server.end()
        rounds[False].append(run_round(recorder))
        server.start()
        settle(recorder)
    return rounds[True], rounds[False]


def judge(server, recorder, normal, outage):
    status = {entry["table"]: entry for entry in recorder.status()["tables"]}
    quotes, fills = status["quotes"], status["fills"]
    held = {name: [int(n) for n in server.query(f"SELECT count(), uniqExact(_cp_epoch, _cp_slot, _cp_position) FROM test.{name}")
                   .split()] for name in status}
    ratio = statistics.median(r["p999_ns"] for r in outage) / statistics.median(r["p999_ns"] for r in normal)
    rss = max(r["rss"] for r in outage) / max(r["rss"] for r in normal)
    result = {
        "rows_per_s": round(sum(r["put"] for r in normal + outage) / len(normal + outage) / ROUND_SECONDS),
        "put_p999_ns_normal": [r["p999_ns"] for r in normal], "put_p999_ns_outage": [r["p999_ns"] for r in outage],
        "put_p50_ns_normal": [r["p50_ns"] for r in normal], "put_p50_ns_outage": [r["p50_ns"] for r in outage],
        "p999_ratio": round(ratio, 3),
        "refused_normal": [r["full"] for r in normal], "refused_outage": [r["full"] for r in outage],
        "skipped": sum(r["skipped"] for r in normal + outage),
        "levels_normal": [r["level"] for r in normal], "levels_outage": [r["level"] for r in outage],
        "rss_mb": round(max(r["rss"] for r in outage) / 1e6, 1), "rss_ratio": round(rss, 3),
        "quotes": {key: quotes[key] for key in ("rows_put", "rows_delivered", "rows_suppressed", "rows_dropped")},
        "quotes_accounted": quotes["balanced"] and quotes["rows_put"] == quotes["rows_delivered"]
        + sum(quotes[key] for key in ELSEWHERE) and held["quotes"] == [quotes["rows_delivered"]] * 2,
        "critical_whole": held["fills"] == [fills["rows_put"]] * 2 and sum(r["fills_full"] for r in normal + outage) == 0,
    }
    print(json.dumps(result))
    return (ratio <= MOST_RATIO and rss <= MOST_RSS_RATIO and min(result["levels_outage"]) > 0 and result["quotes_accounted"]
            and result["critical_whole"])


def main():
    with tempfile.TemporaryDirectory(prefix="coldpath-outage-") as path, ChdbServer(path=path, args=["--threads", "1"]) as server:
        server.args += ["--port", str(server.port)]
        extra = {"clickhouse": {"retry_min": "50ms", "retry_max": "500ms"}, "recorder": {"memory_limit": "256MiB"}}
        recorder = Recorder(server, {"quotes": QUOTES, "fills": FILLS}, extra=extra)
        ddl = recorder.work / "fills.sql"
        ddl.write_text(pathlib.Path("schema/ddl/quotes.sql").read_text().replace("EXISTS quotes", "EXISTS fills"))
        recorder.settings["tables"]["fills"] = FILLS | {"ddl": str(ddl)}
        recorder.write_config()
        with recorder:
            return 0 if judge(server, recorder, *run(server, recorder)) else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
