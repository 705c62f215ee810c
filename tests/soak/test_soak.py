"""Hours under load: four producers put 200,000 rows a second into a critical and a lossy table, through a proxy that misbehaves,
while every few seconds somebody is killed, stopped or unreachable.

    0 ────────────────────────── half ───────────────────────── end ──── calm: all is delivered, and counted
      faults of every kind             the recorder is left alive,
                                       so that what leaks in it shows

Every half second: resident memory and descriptors of recorder and producers, files in region, log and quarantine; every second of a
producer: how long puts took, and how long until ClickHouse had the row. What is flat is judged by the last third against the first, of the
whole run and of its second half, with the bounds below. At the end ledger and audit balance; of each life of a
producer every row is held once, as it was put, in its order: in the critical table without a gap, in the lossy one whatever is held.

$CP_SECONDS: how long (default 8), $CP_SEED, $CP_ROWS: rows a second. Memory and latency are judged in runs of a minute and more only: in a
short one the first third is spent warming up, and a third is one fault, or none. What rate the host held is printed, and not judged."""

import collections
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from tests.support.chaos import FAULTS, ChaosProxy, RandomPlan
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 8)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
ROWS_PER_S = int(os.environ.get("CP_ROWS") or 200_000)
SHARES = {"orders": 0.1, "ticks": 0.4}  # of ROWS_PER_S, for each of a table's producers
PRODUCERS = 2
SAMPLE_SECONDS = 0.5
FAULT_SECONDS = (1, 5) if SECONDS >= 60 else (0.2, 1.5)  # between faults
JUDGED_FROM_SECONDS = 60     # shorter runs are judged by what COUNTED names alone
DRAINED_SECONDS = 120 + 2 * SECONDS
SLICE = 5_000_000            # rows looked at in one SELECT
QUERY_SECONDS = 1200         # audit reads the whole tables

# What counts as flat: the last third's value is at most factor x the first third's + slack.
BOUNDS = {
    "recorder_rss_mb": (max, 1.25, 48),       # a batch under way, and its copy, may be in one third alone
    "producers_rss_mb": (max, 1.25, 8),
    "recorder_fds": (max, 1.0, 16),           # connections come and go
    "producers_fds": (max, 1.0, 4),
    "files": (max, 2.0, 24),                  # segments of the log: a backlog is files
    "put_p50_ns": (statistics.median, 3.0, 100),
    "put_p99_ns": (statistics.median, 4.0, 2000),
    "delivered_p50_ms": (statistics.median, 3.0, 1500),  # an outage of ClickHouse's is seconds
}
COUNTED = ("recorder_fds", "producers_fds", "files")

FLUSH = {"interval": "200ms", "rows": 100_000}
TABLES = {
    "orders": {"class": "critical", "wal_limit": "8GiB", "slots": 4, "ring_size": "8MiB", "flush": FLUSH},
    "ticks": {"slots": 4, "ring_size": "32MiB", "flush": FLUSH},
}
EXTRA = {"clickhouse": {"retry_min": "20ms", "retry_max": "500ms", "connect_timeout": "1s", "request_timeout": "5s"},
         "recorder": {"stop_timeout": "1s"}, "wal": {"segment_size": "16MiB"}}
# Not refusals: rows that are quarantined are for tests/chaos. Not what makes every request last for its whole time-out.
NETWORK = tuple(name for name in FAULTS if name not in ("refusal", "slow drip"))
ELSEWHERE = ("rows_rejected", "rows_suppressed", "rows_dropped", "rows_quarantined", "rows_given_up", "rows_in_ring", "rows_in_log")
SOUND = ("price = toDecimal64(number % 1000000, 8) + toDecimal64('0.25', 8) AND qty = number / 4 AND "
         "note = concat('note ', toString(number % 1000)) AND toUnixTimestamp64Nano(at) = 1700000000000000000 + number * 1000 AND "
         "ifNull(code, 9999) = if(number % 7 = 0, 9999, toInt32(number % 1000) - 500)")


class Life(threading.Thread):
    """One process of put_soak; what it reported, second by second."""

    def __init__(self, recorder, table, who, latencies, rate):
        super().__init__(daemon=True)
        self.table, self.who, self.latencies = table, who, latencies
        self.put = self.full = 0
        self.began = threading.Event()  # it has said its first line: from then on it ends when it is told to
        self.whole = False  # it ended by itself, so that put is exact
        self.process = subprocess.Popen([str(recorder.build / "bin/put_soak"), str(recorder.region), table, who, str(rate)],
                                        env=recorder.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.start()

    def run(self):
        for line in self.process.stdout:
            if not line.endswith(b"\n"):  # killed while it wrote
                return
            said = json.loads(line)
            self.began.set()
            self.put, self.full = said["put"], said["full"]
            now = time.monotonic()
            if said["put_ns"]["count"]:
                self.latencies.append((now, "put_p50_ns", said["put_ns"]["p50"]))
                self.latencies.append((now, "put_p99_ns", said["put_ns"]["p99"]))
            if said["delivered_ms"]["count"]:
                self.latencies.append((now, "delivered_p50_ms", said["delivered_ms"]["p50"]))

    def end(self, number=signal.SIGTERM):
        if not self.began.wait(60) and self.process.poll() is None:
            raise AssertionError(f"put_soak {self.who} does not begin")
        self.process.send_signal(number)
        self.process.wait(60)
        self.join()
        error = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        if number == signal.SIGTERM and self.process.returncode != 0:
            raise AssertionError(f"put_soak {self.who}: exit {self.process.returncode}: {error}")
        self.whole = number == signal.SIGTERM


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise FileNotFoundError(pid)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def flat(samples, begin, end):
    """(what, first, last, bound) of each kind of sample in [begin, end)."""
    found = []
    third = (end - begin) / 3
    for what, (value_of, factor, slack) in BOUNDS.items():
        values = samples.get(what, ())
        first = [value for at, value in values if begin <= at < begin + third]
        last = [value for at, value in values if end - third <= at < end]
        if first and last:
            found.append((what, value_of(first), value_of(last), factor * value_of(first) + slack))
    return found


class Soak(unittest.TestCase):
    def setUp(self):
        print(f"seed: CP_SEED={SEED}", file=sys.stderr)
        path = tempfile.TemporaryDirectory(prefix="coldpath-soak-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(build=os.environ.get("COLDPATH_CHDB_BUILD"), path=path.name, args=["--threads", "1"]).start()
        self.addCleanup(self.server.stop)
        self.server.args += ["--port", str(self.server.port)]
        self.proxy = ChaosProxy(self.server.port).__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.recorder = Recorder(self.proxy, {}, extra=EXTRA)
        self.addCleanup(self.recorder.close)
        for name, settings in TABLES.items():
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(pathlib.Path("tests/soak/ticks.sql").read_text().replace("EXISTS ticks", f"EXISTS {name}"))
            self.recorder.settings["tables"][name] = settings | {"ddl": str(ddl)}
        self.recorder.settings["wal"]["dir"] = str(self.recorder.work / "wal")
        self.recorder.write_config()
        self.recorder.__enter__()
        self.lives, self.current = [], {}
        self.latencies = []
        self.samples = collections.defaultdict(list)
        self.done = collections.Counter()
        self.sampling = threading.Event()
        self.addCleanup(self.kill_rest)

    def kill_rest(self):
        for life in self.lives:
            if life.process.poll() is None:
                life.end(signal.SIGKILL)

    def live(self, table, number):
        """Starts a producer's next life."""
        who = f"{table}-{number}.{len(self.lives)}"
        self.current[table, number] = life = Life(self.recorder, table, who, self.latencies,
                                                     round(ROWS_PER_S * SHARES[table]))
        self.lives.append(life)

    # ---- samples ------------------------------------------------------------------------------------------------------

    def sample(self):
        while not self.sampling.wait(SAMPLE_SECONDS):
            now = time.monotonic()
            recorder = self.recorder.process
            pids = [life.process.pid for life in list(self.current.values())]
            for name, of in (("rss_mb", resident_mb), ("fds", descriptors)):
                try:  # somebody may have just been killed; a confined recorder's descriptors are root's to see
                    if recorder and recorder.poll() is None:
                        self.samples[f"recorder_{name}"].append((now, of(recorder.pid)))
                    self.samples[f"producers_{name}"].append((now, max(of(pid) for pid in pids)))
                except OSError:
                    pass
            files = sum(len(names) for root in (self.recorder.work, self.recorder.region_root) for _, _, names in os.walk(root))
            self.samples["files"].append((now, files))

    # ---- faults -------------------------------------------------------------------------------------------------------

    def recorder_killed(self, _):
        self.recorder.stop(signal.SIGKILL)
        self.recorder.start()

    def recorder_restarted(self, _):
        self.recorder.restart()

    def recorder_stopped(self, rng):
        self.pause(self.recorder.process, rng.uniform(0.5, 3))

    def engine_killed(self, _):
        self.server.end(signal.SIGKILL)
        self.server.start()

    def nobody_listens(self, rng):
        self.proxy.refuse(True)
        time.sleep(rng.uniform(0.2, 2))
        self.proxy.refuse(False)

    def network_misbehaves(self, rng):
        self.proxy.plan = RandomPlan(rng.random(), NETWORK)
        time.sleep(rng.uniform(0.5, 3))
        self.proxy.calm()

    def producer_killed(self, rng):
        table, number = rng.choice(sorted(self.current))
        self.current[table, number].end(signal.SIGKILL)
        self.live(table, number)

    def producer_stopped(self, rng):
        self.pause(self.current[rng.choice(sorted(self.current))].process, rng.uniform(0.5, 3))

    @staticmethod
    def pause(process, seconds):
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def misbehave(self, rng, begin):
        always = [self.recorder_stopped, self.engine_killed, self.nobody_listens, self.network_misbehaves, self.network_misbehaves,
                  self.producer_killed, self.producer_stopped]
        ends_recorder = [self.recorder_killed, self.recorder_killed, self.recorder_restarted]
        while (left := begin + SECONDS - time.monotonic()) > 0:
            time.sleep(min(rng.uniform(*FAULT_SECONDS), left))
            first_half = time.monotonic() < begin + SECONDS / 2
            fault = rng.choice(always + ends_recorder if first_half else always)
            self.done[fault.__name__] += 1
            fault(rng)
        self.proxy.calm()

    # ---- the run ------------------------------------------------------------------------------------------------------

    def test_soak(self):
        sampler = threading.Thread(target=self.sample, daemon=True)
        begin = time.monotonic()
        for table in TABLES:
            for number in range(PRODUCERS):
                self.live(table, number)
        sampler.start()
        try:
            self.misbehave(random.Random(SEED), begin)
        finally:
            self.sampling.set()
            sampler.join()
        end = time.monotonic()
        for life in self.current.values():
            life.end()
        status = self.recorder.wait_delivered(DRAINED_SECONDS)
        drained = time.monotonic() - end
        for at, what, value in self.latencies:
            self.samples[what].append((at, value))
        put = sum(table["rows_put"] for table in status["tables"])
        print(f"{dict(self.done)}, faults {dict(self.proxy.counts)}, {put} rows, {put / (end - begin):.0f} a second, {drained:.1f} s to "
              f"drain, refused {sum(life.full for life in self.lives)} times, "
              f"{ {table['table']: {key: table[key] for key in ELSEWHERE if table[key]} for table in status['tables']} }", file=sys.stderr)
        self.check_flat("whole run", begin, end)
        self.check_flat("one life of the recorder", (begin + end) / 2, end)
        rows = self.check_ledger(status)
        for life in self.lives:
            with self.subTest(producer=life.who):
                rows -= self.check_rows(life)
        self.assertEqual(rows, 0, "rows held, and of nobody's")
        self.assertEqual(self.recorder.stop(), 0)

    def check_flat(self, name, begin, end):
        for what, first, last, bound in flat(self.samples, begin, end):
            print(f"{name}: {what}: first third {first:.1f}, last {last:.1f}, bound {bound:.1f}", file=sys.stderr)
            if what in COUNTED or SECONDS >= JUDGED_FROM_SECONDS:
                with self.subTest(name, what=what):
                    self.assertLessEqual(last, bound)

    def patient_config(self):
        """Past the proxy, and with time for statements that read whole tables."""
        path = self.recorder.work / "patient.yaml"
        settings = self.recorder.settings | {"clickhouse": self.recorder.settings["clickhouse"] | {
            "url": self.server.url, "request_timeout": f"{QUERY_SECONDS}s"}}
        path.write_text(json.dumps(settings))
        return path

    def check_ledger(self, status):
        """Every row that was put is held, or stands under another heading; none of the critical table does. The rows held."""
        self.assertTrue(status["balanced"], status)
        audited = self.recorder.run("coldpath", "audit", "--json", "--config", self.patient_config(), timeout=QUERY_SECONDS)
        self.assertTrue(audited.stdout, audited.stderr)
        audit = {table["table"]: table for table in json.loads(audited.stdout)["tables"]}
        held = 0
        for table in status["tables"]:
            name = table["table"]
            elsewhere = sum(table[key] for key in ELSEWHERE)
            count = int(self.server.query(f"SELECT count() FROM test.{name}"))
            held += count
            with self.subTest(table=name):
                self.assertEqual(table["rows_put"], table["rows_delivered"] + elsewhere, table)
                self.assertEqual((audit[name]["missing"], audit[name]["twice"]), (0, 0), audit[name])
                # Dropped in the batch that was under way when the recorder was killed: it may have arrived.
                self.assertLessEqual(audit[name]["unknown"], table["rows_dropped"], audit[name])
                if table["class"] == "critical":
                    self.assertEqual((elsewhere, count), (0, table["rows_put"]), table)
        return held

    def check_rows(self, life):
        """Number for number. The rows held of this life."""
        where = f"FROM test.{life.table} WHERE who = '{life.who}'"
        count, most = map(int, self.server.query(f"SELECT count(), max(number) {where}").split())
        if TABLES[life.table].get("class") == "critical":
            self.assertEqual(count, most + 1 if count else 0, "a gap")
            if life.whole:
                self.assertEqual(count, life.put)
        if life.whole:
            self.assertLessEqual(most, life.put)
        self.assertGreaterEqual(life.put if life.whole else most + 1, count)
        for first in range(0, most + 1, SLICE):
            part = f"{where} AND number >= {first} AND number < {first + SLICE}"
            held, once, sound = map(int, self.server.query(f"SELECT count(), uniqExact(number), countIf({SOUND}) {part}").split())
            self.assertEqual((held, once, sound), (held,) * 3)
            order = self.server.query("SELECT countIf(position <= before) FROM (SELECT toInt64(_cp_position) AS position, "
                                      "lagInFrame(toInt64(_cp_position), 1, -1) OVER (ORDER BY number ROWS BETWEEN 1 PRECEDING AND "
                                      f"CURRENT ROW) AS before {part})")
            self.assertEqual(int(order), 0, "not in the order in which they were put")
        return count


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
