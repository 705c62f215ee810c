"""From put to visible in ClickHouse, in four ways, in turns ($CP_ROUNDS, default 5), into tables of the same form in the
embedded engine, which inserts with one thread:

    coldpath   put_obf, flat out for a second ─► rings ─► coldpathd, compression: auto ─► engine
    native     the same rows as one ready Native file, POSTed: what the engine itself takes at most
    batches    the same rows as ready Native files of as many rows as a batch of the recorder has: what smaller inserts cost the
               engine, whoever makes them
    json       the same rows, 250 to a POST, JSONEachRow made of dictionaries by Python's json: how a program without a recorder
               writes to ClickHouse (its first JSON_ROWS rows only)

For each: rows per second from the first put or byte to the last row visible, rows per CPU second of everything behind the put, recorder
or client, and engine, and the engine's part of it per row. A second's stream is a dozen inserts and more, whose parts the engine begins
to merge meanwhile, which it has no need to after one file; `coldpath bench e2e` is without that. Prints one JSON line with
medians, spread and the ratios round by round; exits 1 when a row is missing."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

ROUNDS = int(os.environ.get("CP_ROUNDS") or 5)
PUT_SECONDS = 1
JSON_ROWS = 25_000
JSON_BATCH = 250
BATCH_ROWS = 500_000
TABLE = {"ring_size": "64MiB", "slots": 1, "flush": {"max_rows": BATCH_ROWS, "max_bytes": "64MiB"}}
EXTRA = {"clickhouse": {"compression": "auto"}}  # the server is on this host


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Span:
    """Wall time, and CPU time of processes, from here on; the last of them is the engine."""

    def __init__(self, *pids):
        self.pids = pids
        self.cpu = [cpu_seconds(pid) for pid in pids]
        self.own = time.process_time()
        self.began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def figures(self, rows, own=False):
        wall = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self.began_ns) / 1e9
        used = [cpu_seconds(pid) - before for pid, before in zip(self.pids, self.cpu)]
        cpu = sum(used) + (time.process_time() - self.own if own else 0)
        return {"rows": rows, "rows_per_s": rows / wall, "rows_per_cpu_s": rows / max(cpu, 0.01), "engine_ns_per_row": used[-1] * 1e9 / rows}


def count(server, table):
    return int(server.query(f"SELECT count() FROM test.{table}"))


def run_coldpath(server, recorder):
    span = Span(recorder.process.pid, server.pid)
    done = subprocess.run([recorder.build / "bin/put_obf", str(recorder.region), str(PUT_SECONDS)], stdout=subprocess.PIPE,
                          check=True)
    recorder.run("coldpath", "flush", "--wait", check=True)
    said = json.loads(done.stdout)
    span.began_ns = said["began_ns"]  # the first put: that a process has to be started first is not the path's
    figures = span.figures(said["rows"])
    figures["recorder_share_of_cpu"] = (cpu_seconds(recorder.process.pid) - span.cpu[0]) * figures["rows_per_cpu_s"] / figures["rows"]
    assert count(server, "obf_universe") == figures["rows"], "rows are missing"
    return figures


def run_native(server, table, bodies, rows):
    span = Span(server.pid)
    for body in bodies:
        server.insert(f"test.{table}", "Native", body)
    figures = span.figures(rows)
    assert count(server, table) == rows, "rows are missing"
    return figures


def native_files(server, rows, each):
    """The rows of the last round as Native, `each` to a file."""
    return [server.post({}, f"SELECT * FROM test.obf_universe LIMIT {each} OFFSET {at} FORMAT Native".encode())[1]
            for at in range(0, rows, each)]


def run_json(server, rows):
    """One connection that is kept, and as little as possible around json.dumps."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = server.authorization()
    span = Span(server.pid)
    for first in range(0, len(rows), JSON_BATCH):
        body = "\n".join(map(json.dumps, rows[first:first + JSON_BATCH])).encode()
        connection.request("POST", "/?query=INSERT+INTO+test.json+FORMAT+JSONEachRow", body, headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    figures = span.figures(len(rows), own=True)
    connection.close()
    assert count(server, "json") == len(rows), "rows are missing"
    return figures


def run_round(server, recorder):
    for table in ("obf_universe", "native", "batches", "json"):
        server.query(f"TRUNCATE TABLE test.{table}")
    result = {"coldpath": run_coldpath(server, recorder)}
    count_put = result["coldpath"]["rows"]
    rows = server.query(f"SELECT * FROM test.obf_universe LIMIT {JSON_ROWS} FORMAT JSONEachRow").splitlines()
    result["native"] = run_native(server, "native", native_files(server, count_put, count_put), count_put)
    result["batches"] = run_native(server, "batches", native_files(server, count_put, BATCH_ROWS), count_put)
    result["json"] = run_json(server, list(map(json.loads, rows)))
    return result


def figure(samples):
    return {"median": statistics.median(samples), "low": min(samples), "high": max(samples)}


def summary(rounds):
    result = {"schema_version": 1, "verb": "bench ship", "rounds": len(rounds), "ways": {}}
    for way in rounds[0]:
        result["ways"][way] = {name: figure([r[way][name] for r in rounds]) for name in rounds[0][way]}
    result["rate_to_native"] = figure([r["coldpath"]["rows_per_s"] / r["native"]["rows_per_s"] for r in rounds])
    result["rate_to_batches"] = figure([r["coldpath"]["rows_per_s"] / r["batches"]["rows_per_s"] for r in rounds])
    result["cpu_rate_to_native"] = figure([r["coldpath"]["rows_per_cpu_s"] / r["native"]["rows_per_cpu_s"] for r in rounds])
    result["cpu_rate_to_json"] = figure([r["coldpath"]["rows_per_cpu_s"] / r["json"]["rows_per_cpu_s"] for r in rounds])
    return result


def main():
    with ChdbServer(args=["--threads", "1"]) as server, Recorder(server, {"obf_universe": TABLE}, extra=EXTRA) as recorder:
        for table in ("native", "batches", "json"):
            server.query(f"CREATE TABLE test.{table} AS test.obf_universe")
        run_round(server, recorder)  # for nothing: caches, pages, libraries
        print(json.dumps(summary([run_round(server, recorder) for _ in range(ROUNDS)])))
    return 0


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
