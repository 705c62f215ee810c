"""One table's trouble costs the others nothing: eleven tables, three of them critical, take 200,000 rows a second together; in
every second round a twelfth, critical, is fed too, and ClickHouse refuses all of its rows, for its table is missing. Compares the
eleven's time from put to delivered (99 %) in both kinds of rounds, which alternate; sees that the twelfth's log stays within its
bound, and that its rows arrive, once, when the table is made. $CP_SECONDS: for all rounds (default 40), $CP_ROWS: rows a second.

Prints one JSON line; exits 1 when the ratio of the medians is 1.1 or more, a row is missing or twice, or a bound is broken."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 40)
ROWS_PER_S = int(os.environ.get("CP_ROWS") or 200_000)
ROUND_SECONDS = 4
TABLES = 11
CRITICAL = 3  # of them
WAL_LIMIT = 8 * 1024 * 1024
MOST_RATIO = 1.1
FLUSH = {"rows": 50_000, "interval": "250ms"}  # at this rate the interval decides


def settings(name, path, critical):
    ddl = path / f"{name}.sql"
    quotes = pathlib.Path("schema/ddl/quotes.sql").read_text()
    ddl.write_text(quotes.replace("EXISTS quotes", f"EXISTS {name}"))
    table = {"ddl": str(ddl), "slots": 1, "ring_size": "8MiB", "flush": FLUSH}
    return table | ({"class": "critical", "wal_limit": str(WAL_LIMIT)} if critical else {})


def wal_bytes(recorder, table):
    """Of the segments; the checkpoint is 8 KiB beside them."""
    return sum(file.stat().st_size for file in (recorder.work / "wal/test" / table).iterdir() if file.name != "checkpoint")


def run_round(server, number, bad):
    """What the eleven see, and what became of the twelfth."""
    names = [f"feed{i:02}" for i in range(TABLES)]
    extra = {"wal": {"segment_size": "2MiB"}, "clickhouse": {"retry_min": "50ms", "retry_max": "1s"}}
    recorder = Recorder(server, {}, database=f"round{number}", extra=extra)
    try:
        tables = {name: settings(name, recorder.work, i < CRITICAL) for i, name in enumerate(names)}
        tables["twelfth"] = settings("twelfth", recorder.work, True)
        recorder.settings["tables"] = tables
        recorder.settings["wal"]["dir"] = str(recorder.work / "wal")
        recorder.write_config()
        recorder.__enter__()
        where = f"round{number}"
        create = server.query(f"SHOW CREATE TABLE {where}.twelfth FORMAT TSVRaw")
        if bad:
            server.query(f"DROP TABLE {where}.twelfth SYNC")
        feeds = [f"{name}:{ROWS_PER_S // TABLES}" for name in names]
        feeds += [f"twelfth:{ROWS_PER_S // TABLES}"] if bad else []
        done = subprocess.run([recorder.build / "bin/put_paced", str(recorder.region), str(ROUND_SECONDS), str(TABLES), *feeds],
                              stdout=subprocess.PIPE, check=True)
        seen = json.loads(done.stdout)
        result = {"bad": bad, "p50_ms": seen["delivered_ms"]["p50"], "p99_ms": seen["delivered_ms"]["p99"],
                  "rows": sum(table["put"] for table in seen["tables"][:TABLES]),
                  "refused": sum(table["full"] + table["skipped"] for table in seen["tables"][:TABLES])}
        if bad:
            parked = [table for table in recorder.status()["tables"] if table["table"] == "twelfth"][0]
            result |= {"wal_bytes": wal_bytes(recorder, "twelfth"), "parked_rows": parked["rows_put"] - parked["rows_delivered"],
                       "last_error": parked["last_error"]}
            server.query(create)
        recorder.wait_delivered()
        put = {table["table"]: table["put"] for table in seen["tables"]}
        held = {name: server.query(f"SELECT count(), uniqExact(update_id) FROM {where}.{name}").split() for name in put}
        result["whole"] = all(held[name] == [str(rows)] * 2 for name, rows in put.items())
        return result
    finally:
        recorder.close()
        server.query(f"DROP DATABASE IF EXISTS round{number} SYNC")


def main():
    with ChdbServer(args=["--threads", "1"]) as server:
        rounds = [run_round(server, number, bad=number % 2 == 1)
                  for number in range(max(2, SECONDS // ROUND_SECONDS // 2 * 2))]
    without = [entry["p99_ms"] for entry in rounds if not entry["bad"]]
    with_bad = [entry["p99_ms"] for entry in rounds if entry["bad"]]
    ratio = statistics.median(with_bad) / statistics.median(without)
    broken = [entry for entry in rounds if entry["bad"]]
    result = {
        "rows_per_s": round(sum(entry["rows"] for entry in rounds) / len(rounds) / ROUND_SECONDS),
        "refused": sum(entry["refused"] for entry in rounds),
        "p99_ms_without": without, "p99_ms_with": with_bad,
        "p99_ratio": round(ratio, 3),
        "p99_ratio_spread": [round(min(with_bad) / max(without), 3), round(max(with_bad) / min(without), 3)],
        "p50_ms_without": [entry["p50_ms"] for entry in rounds if not entry["bad"]],
        "p50_ms_with": [entry["p50_ms"] for entry in broken],
        "bad_rows_parked": [entry["parked_rows"] for entry in broken],
        "bad_wal_bytes": max(entry["wal_bytes"] for entry in broken), "wal_limit": WAL_LIMIT,
        "bad_last_error": broken[-1]["last_error"],
        "whole": all(entry["whole"] for entry in rounds),
    }
    print(json.dumps(result))
    return 0 if ratio < MOST_RATIO and result["whole"] and result["bad_wal_bytes"] <= WAL_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
