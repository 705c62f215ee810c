"""What a put takes while the recorder has trouble elsewhere, beside a quiet one, block by block in turns (paired.py):

    log      another producer fills a critical table's log as fast as it is written: its ring is full all the time
    away     ClickHouse is gone
    watched  `coldpath monitor`, scraped, and `coldpath top`, each ten times a second
    copy     a process that has nothing to do with the recorder copies memory on another CPU: what any neighbour costs, since
             caches and memory are shared; the control for `log`, which moves about as many bytes

Quotes go into a lossy table at ROWS_PER_S all the time. Their producer has a CPU of its own and does not sleep, as a trading process
would; recorder, log, the other producer and ClickHouse share the others: on two CPUs one, which is then what limits the log.
$CP_SECONDS: for all blocks, about (default 240); log and copy, which scatter more, have three blocks to one of the others. $CP_RING: of
the quotes (default 64MiB).

Prints one JSON line; exits 1 when p99.9 is more than MOST_RATIO of quiet's and that is beyond doubt, with ClickHouse away or watched, or
with the log also more than what the control costs; when a put was refused, or the log was not saturated."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tests.bench import paired
from tests.bench.watched import Watchers
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 240)
TURN = ("log", "copy", "away", "log", "copy", "watched", "log", "copy")
RING = os.environ.get("CP_RING") or "64MiB"
ROWS_PER_S = 50_000
LARGE_BYTES = 32 * 1024
FILL_SECONDS = 1  # of a producer of large rows: its ring has to fill, then a part is measured
START_SECONDS = 0.3
MOST_RATIO = 1.1
LARGE = "CREATE TABLE large (a String) ENGINE = Null"
CRITICAL = {"class": "critical", "slots": 1, "ring_size": "16MiB", "wal_limit": "2GiB"}
EXTRA = {"clickhouse": {"retry_min": "20ms", "retry_max": "200ms", "compression": "none"}, "wal": {"segment_size": "64MiB"}}
COPY = "from_, to = bytearray(64 << 20), bytearray(64 << 20)\nwhile True:\n    to[:] = from_"


class Bench:
    def __init__(self, server, recorder, own):
        self.server, self.recorder = server, recorder
        self.log_bytes, self.waits = [], 0
        self.running = None  # what the block's middle part started
        self.producer = paired.Producer(recorder, ROWS_PER_S, own)
        self.trials = {name: paired.Trial(self.producer, getattr(self, f"{name}_begin"), getattr(self, f"{name}_end"))
                       for name in ("log", "away", "watched", "copy")}

    def log_begin(self):
        self.running = self.recorder.popen("put_large", self.recorder.region, "large", FILL_SECONDS, LARGE_BYTES, stdout=subprocess.PIPE)
        time.sleep(START_SECONDS)

    def log_end(self):
        said = json.loads(self.running.communicate(timeout=60)[0])
        self.log_bytes.append(said["bytes"] / FILL_SECONDS)
        self.waits += said["waits"]
        self.wait_table("large", 0)

    def wait_table(self, name, most):
        """Until no more rows of it than that are on their way."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            table = next(t for t in self.recorder.status()["tables"] if t["table"] == name)
            if table["rows_in_ring"] + table["rows_in_log"] + table["rows_at_risk"] <= most:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name}: not delivered")

    def away_begin(self):
        self.server.end()
        time.sleep(START_SECONDS)

    def away_end(self):
        self.server.start()
        self.wait_table("quotes", ROWS_PER_S)  # they go on

    def watched_begin(self):
        self.running = Watchers(self.recorder)
        time.sleep(START_SECONDS)

    def watched_end(self):
        self.running.end()

    def copy_begin(self):
        self.running = subprocess.Popen([sys.executable, "-c", COPY])
        time.sleep(START_SECONDS)

    def copy_end(self):
        self.running.kill()
        self.running.wait()

    def run(self):
        try:
            until = time.monotonic() + SECONDS
            turn = 0
            while time.monotonic() < until or turn < 2:  # the first is for nothing: pages, segments
                for name in TURN:
                    self.trials[name].block()
                if turn == 0:
                    for trial in self.trials.values():
                        trial.blocks.clear()
                        trial.left_out = 0
                turn += 1
        finally:
            self.producer.end()

    def result(self):
        states = {name: trial.result(MOST_RATIO) for name, trial in self.trials.items()}
        return {"schema_version": 1, "verb": "bench put_under_load", "rows_per_s": ROWS_PER_S, "ring": RING, "part_seconds": paired.PART_SECONDS,
                "confidence": paired.CONFIDENCE, "states": states, "log_mb_per_s": round(statistics.median(self.log_bytes) / 1e6),
                "log_waits": self.waits, "refused": max(trial.full for trial in self.trials.values())}


def good(result):
    states = result["states"]
    beyond = {name for name, state in states.items() if state["ratio"]["verdict"] == "no"}
    if states["log"]["ratio"]["low"] <= states["copy"]["ratio"]["high"]:
        beyond.discard("log")  # what any neighbour costs
    return not beyond - {"copy"} and result["refused"] == 0 and result["log_waits"] > 0


def main():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("the producer needs a CPU of its own, and the recorder another", file=sys.stderr)
        return SKIP
    os.sched_setaffinity(0, cpus[1:])  # all that is started from here on
    with tempfile.TemporaryDirectory(prefix="coldpath-load-") as path, ChdbServer(path=path, args=["--threads", "1"]) as server:
        server.args += ["--port", str(server.port)]
        recorder = Recorder(server, {"quotes": {"ring_size": RING, "slots": 1}, "large": dict(CRITICAL)}, extra=EXTRA)
        ddl = recorder.work / "large.sql"
        ddl.write_text(LARGE)
        recorder.settings["tables"]["large"]["ddl"] = str(ddl)
        recorder.write_config()
        with recorder:
            bench = Bench(server, recorder, cpus[0])
            bench.run()
            result = bench.result()
    print(json.dumps(result))
    return 0 if good(result) else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
