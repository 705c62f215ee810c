"""What a put takes while the recorder has trouble elsewhere, beside a quiet one: rounds of a second in turns, of

    quiet    quotes at 50,000 rows/s into a lossy table, and nothing else
    log      the same, while another producer fills a critical table's log as fast as the disk takes it: its ring is full
    away     the same, with ClickHouse gone
    copy     the same as quiet, while a process that has nothing to do with the recorder copies memory on another CPU: what any
             neighbour costs, since caches and memory are shared; the measure for `log`, which moves about as many bytes

The producer that is measured has a CPU of its own and does not sleep, as a trading process would; recorder, log, the other producer and ClickHouse share
the others. $CP_SECONDS: for all rounds (default 20).

Compares the medians of the puts' times at 99.9 %. Prints one JSON line; exits 1 when `away` is more than 10 % and more than two steps
of the timer longer than quiet, or `log` than the longer of quiet and copy, a put was refused, or the log was not saturated."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 20)
ROWS_PER_S = 50_000
ROUND_SECONDS = 1
LARGE_BYTES = 32 * 1024
MOST_RATIO = 1.1
TIMER_STEP_NS = 20  # two steps of the coarsest timer there is: less is no difference
LARGE = "CREATE TABLE large (a String) ENGINE = Null"
CRITICAL = {"class": "critical", "slots": 1, "ring_size": "16MiB", "wal_limit": "2GiB"}
EXTRA = {"clickhouse": {"retry_min": "20ms", "retry_max": "200ms", "compression": "none"}, "wal": {"segment_size": "64MiB"}}
STATES = ("quiet", "log", "away", "copy")
COPY = "from_, to = bytearray(64 << 20), bytearray(64 << 20)\nwhile True:\n    to[:] = from_"


class Bench:
    def __init__(self, server, recorder, own):
        self.server, self.recorder, self.own = server, recorder, own
        self.rounds = {state: [] for state in STATES}
        self.log_bytes = []
        self.waits = self.full = 0

    def put(self):
        """One round of the producer that is measured."""
        self.recorder.extra_environment["CP_BUSY"] = "1"
        process = self.recorder.popen("put_paced", self.recorder.region, ROUND_SECONDS, 0, f"quotes:{ROWS_PER_S}", stdout=subprocess.PIPE)
        os.sched_setaffinity(process.pid, self.own)
        table = json.loads(process.communicate(timeout=60)[0])["tables"][0]
        self.full += table["full"]
        return table["put_ns"]

    def quiet(self):
        return self.put()

    def log(self):
        filler = self.recorder.popen("put_large", self.recorder.region, "large", ROUND_SECONDS + 1, LARGE_BYTES, stdout=subprocess.PIPE)
        time.sleep(0.5)  # its ring is full by then
        figures = self.put()
        said = json.loads(filler.communicate(timeout=60)[0])
        self.log_bytes.append(said["bytes"] / (ROUND_SECONDS + 1))
        self.waits += said["waits"]
        self.recorder.wait_delivered()
        return figures

    def away(self):
        self.server.end()
        figures = self.put()
        self.server.start()
        self.recorder.wait_delivered()
        return figures

    def copy(self):
        neighbour = subprocess.Popen([sys.executable, "-c", COPY])
        try:
            time.sleep(0.2)  # it has its memory
            return self.put()
        finally:
            neighbour.kill()
            neighbour.wait()

    def run(self):
        until = time.monotonic() + SECONDS
        for state in STATES:  # once for nothing: pages, segments
            getattr(self, state)()
        while time.monotonic() < until or len(self.rounds["away"]) < 3:
            for state in STATES:
                self.rounds[state].append(getattr(self, state)())

    def result(self):
        p999 = {state: [r["p999"] for r in rounds] for state, rounds in self.rounds.items()}
        medians = {state: statistics.median(values) for state, values in p999.items()}
        return {"schema_version": 1, "verb": "bench put_under_load", "rounds": len(p999["quiet"]), "rows_per_s": ROWS_PER_S,
                "p999_ns": {state: {"median": medians[state], "low": min(values), "high": max(values)} for state, values in p999.items()},
                "p50_ns": {state: statistics.median(r["p50"] for r in rounds) for state, rounds in self.rounds.items()},
                "p999_to_quiet": {state: round(medians[state] / medians["quiet"], 3) for state in STATES[1:]},
                "log_mb_per_s": round(statistics.median(self.log_bytes) / 1e6), "log_waits": self.waits, "refused": self.full}


def good(result):
    p999 = {state: figure["median"] for state, figure in result["p999_ns"].items()}
    allowed = {"away": p999["quiet"], "log": max(p999["quiet"], p999["copy"])}
    return (all(p999[state] <= max(limit * MOST_RATIO, limit + TIMER_STEP_NS) for state, limit in allowed.items())
            and result["refused"] == 0 and result["log_waits"] > 0)


def main():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("the producer needs a CPU of its own, and the recorder another", file=sys.stderr)
        return SKIP
    os.sched_setaffinity(0, cpus[1:])  # all that is started from here on
    with tempfile.TemporaryDirectory(prefix="coldpath-load-") as path, ChdbServer(path=path, args=["--threads", "1"]) as server:
        server.args += ["--port", str(server.port)]
        recorder = Recorder(server, {"quotes": {"ring_size": "64MiB", "slots": 1}, "large": dict(CRITICAL)}, extra=EXTRA)
        ddl = recorder.work / "large.sql"
        ddl.write_text(LARGE)
        recorder.settings["tables"]["large"]["ddl"] = str(ddl)
        recorder.write_config()
        with recorder:
            bench = Bench(server, recorder, set(cpus[:1]))
            bench.run()
            result = bench.result()
    print(json.dumps(result))
    return 0 if good(result) else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
