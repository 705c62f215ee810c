"""Every allocation and every system call fails once: verbs and the recorder are run again and again, each time with another one of their
own calls failing (tests/support/fail_nth.c), until all have had their turn, or time is up; verbs also with all behind it.

A verb then succeeds, or ends with a message and a documented exit code. A recorder likewise does not start, or goes on. What `put` said was
delivered is in ClickHouse, once, whatever failed then or later; what it put and could not vouch for is there at most once.

$CP_SECONDS: how long (default 12, half for the verbs, half for the recorder); $CP_SEED: the order. What was not reached is printed."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 12)
SEED = int(os.environ.get("CP_SEED") or time.time_ns() & 0xFFFFFFFF)
EXIT_CODES = (0, 1, 2, 64, 69, 74, 78)
KINDS = ("alloc", "call")
ROWS = 20  # of one put
VERB_SECONDS = 120
VERBS = (("check",), ("check", "--json"), ("status", "--json"), ("tables",), ("stat", "--once"), ("init", "--no-tables"), ("wal", "ls"),
         ("wal", "verify"), ("wal", "dump", "fills", "--json"), ("quarantine", "ls"), ("quarantine", "show", "ticks"),
         ("schema", "show", "fills"), ("schema", "gen", "fills"), ("monitor", "--once"), ("put", "fills"), ("put", "ticks"))

DDL = """CREATE TABLE IF NOT EXISTS {name} (run UInt32, number UInt32, note String, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY (run, number) SETTINGS non_replicated_deduplication_window = 10000"""
TABLES = {"fills": {"class": "critical", "wal_limit": "128MiB", "slots": 4, "flush": {"interval": "20ms"}},
          "ticks": {"slots": 4, "flush": {"interval": "20ms"}}}
EXTRA = {"recorder": {"stop_timeout": "5s"}, "wal": {"segment_size": "2MiB"},
         "clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}}


class FailingCalls(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        print(f"seed: CP_SEED={SEED}", file=sys.stderr)
        self.rng = random.Random(SEED)
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, {}, extra=EXTRA)
        self.addCleanup(self.recorder.close)
        self.library = self.recorder.build / "lib/libfail_nth.so"
        for name, settings in TABLES.items():
            ddl = self.recorder.work / f"{name}.sql"
            # ClickHouse refuses one row a run, so that the quarantine is written, too.
            check = ", CONSTRAINT sound CHECK number != 7" if name == "ticks" else ""
            ddl.write_text(DDL.format(name=name).replace("_cp_position UInt64)", f"_cp_position UInt64{check})"))
            self.recorder.settings["tables"][name] = settings | {"ddl": str(ddl)}
        self.recorder.settings["wal"]["dir"] = str(self.recorder.work / "wal")
        self.recorder.write_config()
        self.recorder.__enter__()
        self.runs = []  # (table, exit code) of each put, its number being its place
        self.problems = []
        for table in TABLES:
            self.put(table)
        self.wait()

    def environment(self, kind, nth, count=None, goes_on=False):
        return {"LD_PRELOAD": str(self.library), "CP_FAIL_WHAT": kind, "CP_FAIL_NTH": str(nth)} | (
            {"CP_FAIL_COUNT": str(count)} if count else {}) | ({"CP_FAIL_ON": "1"} if goes_on else {})

    def put(self, table, *args):
        """A run of rows, by a put with what is in the environment; a CompletedProcess."""
        run = len(self.runs)
        self.runs.append(None)
        rows = "".join(f'{{"run": {run}, "number": {n}, "note": "{"x" * n}"}}\n' for n in range(ROWS)).encode()
        done = self.recorder.run("coldpath", "put", table, "--timeout", "30s", *args, input=rows, timeout=VERB_SECONDS)
        self.runs[run] = (table, done.returncode)
        return done

    def wait(self):
        self.recorder.wait_delivered(120)

    def verb(self, verb):
        return self.put(*verb[1:]) if verb[0] == "put" else self.recorder.run("coldpath", *verb, timeout=VERB_SECONDS)

    def count(self, kind, run):
        file = self.recorder.work / "count"
        self.recorder.extra_environment = self.environment(kind, 0, file)
        run()
        self.recorder.extra_environment = {}
        return int(file.read_text())

    def check_exit(self, code, said, what):
        ours = re.sub(rb"(?m)^fail_nth: .*\n", b"", said)
        if code not in EXIT_CODES or (code not in (0, 2) and not ours.strip()):
            self.problems.append(f"{what}: exit {code}\n{(ours or said)[-1000:].decode(errors='replace')}")

    def check_rows(self):
        """Whatever else happened: what was vouched for is there, and nothing twice."""
        for table in TABLES:
            held = {int(run): (int(count), int(once)) for run, count, once in
                    (line.split("\t") for line in self.server.query(
                        f"SELECT run, count(), uniqExact(number) FROM test.{table} GROUP BY run").splitlines())}
            for run, (of, code) in enumerate(self.runs):
                if of != table:
                    continue
                count, once = held.get(run, (0, 0))
                self.assertEqual(count, once, f"run {run} of {table}: rows twice")
                if code == 0:
                    self.assertEqual(count, ROWS - (table == "ticks"), f"run {run} of {table}: rows lost")
        self.assertTrue(self.recorder.status()["balanced"])

    # ---- verbs --------------------------------------------------------------------------------------------------------

    def test_verbs(self):
        """With the recorder running, whose rings the puts fill."""
        turns = []
        for verb in VERBS:
            for kind in KINDS:
                calls = self.count(kind, lambda verb=verb: self.verb(verb))
                turns += [(verb, kind, nth, goes_on) for nth in range(1, calls + 1) for goes_on in (False, True)]
        self.rng.shuffle(turns)
        end = time.monotonic() + SECONDS / 2
        for done, (verb, kind, nth, goes_on) in enumerate(turns):
            if time.monotonic() > end:
                print(f"verbs: {done} of {len(turns)} calls had their turn", file=sys.stderr)
                break
            self.recorder.extra_environment = self.environment(kind, nth, goes_on=goes_on)
            ended = self.verb(verb)
            said = ended.stderr + (ended.stdout if "--json" in verb else b"")
            self.check_exit(ended.returncode, said, f"{verb}, {kind} {nth}{' and on' if goes_on else ''}")
        else:
            print(f"verbs: all of {len(turns)} calls had their turn", file=sys.stderr)
        self.recorder.extra_environment = {}
        self.wait()
        self.check_rows()
        self.assertEqual(self.problems, [])

    # ---- the recorder -------------------------------------------------------------------------------------------------

    def start(self, environment):
        """Starts the recorder with something that fails; False when it said that it cannot."""
        self.recorder.extra_environment = environment
        try:
            self.recorder.start()
            return True
        except RuntimeError as error:
            process, self.recorder.process = self.recorder.process, None
            self.check_exit(process.returncode, str(error).encode(), f"start, {environment}")
            return False
        finally:
            self.recorder.extra_environment = {}

    def life(self, environment):
        """Start, rows, stop. In between, what may fail may also make it end."""
        if not self.start(environment):
            return
        process = self.recorder.process
        for table in TABLES:
            ended = self.put(table, "--wait")
            self.check_exit(ended.returncode, ended.stderr, f"put beside {environment}")
        code = self.recorder.stop(signal.SIGTERM)
        self.check_exit(code, self.recorder.read_log()[-2000:].encode(), f"{environment}, pid {process.pid}")

    def test_recorder(self):
        self.assertEqual(self.recorder.stop(), 0)
        turns = []
        for kind in KINDS:
            calls = self.count(kind, lambda: self.life(self.recorder.extra_environment))
            turns += [(kind, nth) for nth in range(1, calls + 1)]
        self.rng.shuffle(turns)
        end = time.monotonic() + SECONDS / 2
        done = 0
        while done < len(turns) and time.monotonic() < end:
            self.life(self.environment(*turns[done]))
            done += 1
        print(f"recorder: {done} of {len(turns)} calls had their turn", file=sys.stderr)
        self.recorder.start()
        self.wait()
        self.check_rows()
        self.assertEqual(self.recorder.stop(), 0)
        self.assertEqual(self.problems, [])


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
