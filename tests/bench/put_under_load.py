"""What a put takes while the recorder has trouble elsewhere, beside a quiet one: rounds of a second in turns, of

    quiet    quotes at 50,000 rows/s into a lossy table, and nothing else
    log      the same, while another producer fills a critical table's log as fast as the disk takes it: its ring is full
    away     the same, with ClickHouse gone
    watched  the same as quiet, with `coldpath monitor`, scraped, and `coldpath top`, each ten times a second
    copy     the same as quiet, while a process that has nothing to do with the recorder copies memory on another CPU: what any
             neighbour costs, since caches and memory are shared; the measure for `log`, which moves about as many bytes

The producer that is measured has a CPU of its own and does not sleep, as a trading process would; recorder, log, the other producer and
ClickHouse share the others. $CP_SECONDS: for all rounds (default 60). $CP_RING: of the quotes (default 64MiB).

Of the puts' times at 99.9 % the medians over the rounds are shown, and the ratio to the quiet round of the same turn; both of all
puts, and "undisturbed": without those in which the kernel took the producer off its CPU. How often it did, the interrupts that
its CPU took and what the hypervisor stole from it are shown beside them: no recorder can do anything about these.

Prints one JSON line; exits 1 when undisturbed puts with ClickHouse away or watched are more than 10 % and more than two steps
of the timer longer than quiet ones, or with the log longer than the longer of quiet and copy; when a put was refused, or the log
was not saturated."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tests.bench.watched import Watchers
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 60)
RING = os.environ.get("CP_RING") or "64MiB"
ROWS_PER_S = 50_000
ROUND_SECONDS = 1
LARGE_BYTES = 32 * 1024
MOST_RATIO = 1.1
TIMER_STEP_NS = 20  # two steps of the coarsest timer there is: less is no difference
LARGE = "CREATE TABLE large (a String) ENGINE = Null"
CRITICAL = {"class": "critical", "slots": 1, "ring_size": "16MiB", "wal_limit": "2GiB"}
EXTRA = {"clickhouse": {"retry_min": "20ms", "retry_max": "200ms", "compression": "none"}, "wal": {"segment_size": "64MiB"}}
STATES = ("quiet", "log", "away", "watched", "copy")
COPY = "from_, to = bytearray(64 << 20), bytearray(64 << 20)\nwhile True:\n    to[:] = from_"


def cpu_disturbance(cpu):
    """Interrupts that a CPU has taken, and milliseconds that the hypervisor has stolen from it."""
    with open("/proc/interrupts", encoding="ascii") as file:
        column = next(file).split().index(f"CPU{cpu}") + 1
        fields = [line.split() for line in file]
    with open("/proc/stat", encoding="ascii") as file:
        stolen = next(line for line in file if line.startswith(f"cpu{cpu} ")).split()[8]
    return (sum(int(row[column]) for row in fields if len(row) > column and row[column].isdigit()),
            int(stolen) * 1000 // os.sysconf("SC_CLK_TCK"))


def spread(values):
    return {"median": round(statistics.median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


class Bench:
    def __init__(self, server, recorder, own):
        self.server, self.recorder, self.own = server, recorder, own
        self.rounds = {state: [] for state in STATES}
        self.log_bytes = []
        self.waits = self.full = 0

    def put(self):
        """One round of the producer that is measured."""
        self.recorder.extra_environment["CP_BUSY"] = "1"
        before = cpu_disturbance(self.own)
        process = self.recorder.popen("put_paced", self.recorder.region, ROUND_SECONDS, 0, f"quotes:{ROWS_PER_S}", stdout=subprocess.PIPE)
        os.sched_setaffinity(process.pid, {self.own})
        said = json.loads(process.communicate(timeout=60)[0])
        after = cpu_disturbance(self.own)
        table = said["tables"][0]
        self.full += table["full"]
        return {"p50": table["put_ns"]["p50"], "p999": table["put_ns"]["p999"], "undisturbed": table["undisturbed_ns"]["p999"],
                "switches": said["switches"], "interrupts": after[0] - before[0], "stolen_ms": after[1] - before[1],
                "timer_step": said["timer_step_ns"]}

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

    def watched(self):
        watchers = Watchers(self.recorder)
        try:
            return self.put()
        finally:
            watchers.end()

    def copy(self):
        neighbour = subprocess.Popen([sys.executable, "-c", COPY])
        try:
            time.sleep(0.2)  # it has its memory
            return self.put()
        finally:
            neighbour.kill()
            neighbour.wait()

    def run(self):
        for state in STATES:  # once for nothing: pages, segments
            getattr(self, state)()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until or len(self.rounds["away"]) < min(3, SECONDS):
            for state in STATES:
                self.rounds[state].append(getattr(self, state)())

    def state(self, state):
        of, quiet = self.rounds[state], self.rounds["quiet"]
        figures = {f"{name}_ns": spread([r[name] for r in of]) for name in ("p50", "p999", "undisturbed")}
        figures |= {f"{name}_to_quiet": spread([r[name] / q[name] for r, q in zip(of, quiet) if q[name]]) for name in ("p999", "undisturbed")}
        return figures | {name: spread([r[name] for r in of]) for name in ("switches", "interrupts", "stolen_ms")}

    def result(self):
        return {"schema_version": 1, "verb": "bench put_under_load", "rounds": len(self.rounds["quiet"]), "rows_per_s": ROWS_PER_S,
                "round_seconds": ROUND_SECONDS, "timer_step_ns": statistics.median(r["timer_step"] for r in self.rounds["quiet"]),
                "states": {state: self.state(state) for state in STATES},
                "log_mb_per_s": round(statistics.median(self.log_bytes) / 1e6), "log_waits": self.waits, "refused": self.full}


def good(result):
    p999 = {state: figures["undisturbed_ns"]["median"] for state, figures in result["states"].items()}
    allowed = {"away": p999["quiet"], "watched": p999["quiet"], "log": max(p999["quiet"], p999["copy"])}
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
