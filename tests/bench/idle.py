"""What the recorder costs when little happens: CPU time of coldpathd, as a share of one core, with no row at all, at the rate
of a small desk (25,000 rows/s of obf_universe), and at ten times that; ROUNDS rounds in turns of $CP_SECONDS each (default 10). A
median share over its limit ends it with 1: an idle recorder may use 1 % of a core, at 25,000 rows/s 3 %; so does more memory of its
own, rings apart, than `coldpath check` says it takes at most. Prints one JSON line.

The rows are put in bursts of 64, as put_obf does, each as soon as it is due; ClickHouse is the embedded engine."""

import json
import os
import statistics
import subprocess
import sys
import time

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 10)
SETTLE_SECONDS = 1
ROUNDS = 3
MOST = {0: 0.01, 25_000: 0.03, 250_000: None}


def cpu_ns(pid):
    """Exact, by the scheduler's own count (clock ticks are 10 ms): the sum over the threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def anonymous_bytes(pid):
    """Resident memory of a process that is its own: not the rings, nor programs and libraries."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("RssAnon:")).split()[1]) * 1024


def memory_most(recorder):
    """What the configuration lets it take, as users are told."""
    limits = json.loads(recorder.run("coldpath", "check", "--json", check=True).stdout)["limits"]
    return next(limit for limit in limits if limit["limit"] == "memory at most")["taken_bytes"]


def memory(recorder, bytes_now):
    most = memory_most(recorder)
    return {"bytes": bytes_now, "most_bytes": most, "to_most": round(bytes_now / most, 3)}


def measure(recorder, rate):
    producer = None
    if rate:
        producer = subprocess.Popen([recorder.build / "bin/put_obf", str(recorder.region), str(SECONDS + 2), str(rate)],
                                    stdout=subprocess.PIPE)
    time.sleep(SETTLE_SECONDS)
    before, began = cpu_ns(recorder.process.pid), time.monotonic_ns()
    time.sleep(SECONDS)
    share = (cpu_ns(recorder.process.pid) - before) / (time.monotonic_ns() - began)
    rows = json.loads(producer.communicate()[0])["rows"] if producer else 0
    recorder.wait_delivered()
    return {"rows_per_s_wanted": rate, "rows_per_s": round(rows / (SECONDS + 2)), "core": round(share, 5), "most": MOST[rate]}


def summary(samples):
    """Of one load: the median over the rounds, and the spread."""
    cores = [sample["core"] for sample in samples]
    middle = statistics.median(cores)
    return samples[-1] | {"core": middle, "core_spread": {"median": middle, "low": min(cores), "high": max(cores)}}


def main():
    tables = {"obf_universe": {"slots": 4}}
    with ChdbServer(args=["--threads", "1"]) as server, Recorder(server, tables) as recorder:
        rounds = [[measure(recorder, rate) for rate in MOST] for _ in range(ROUNDS)]
        loads = [summary(samples) for samples in zip(*rounds)]
        print(json.dumps({"schema_version": 1, "verb": "bench idle", "seconds": SECONDS, "rounds": ROUNDS, "loads": loads,
                          "rss_mb": round(recorder.rss_bytes() / 1e6, 1), "memory": (taken := memory(recorder, anonymous_bytes(recorder.process.pid)))}))
    within = taken["to_most"] <= 1
    return 0 if within and all(load["most"] is None or load["core"] <= load["most"] for load in loads) else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
