"""Producers and recorder pinned to one core, where every hand-over of a cache line is a context switch in the middle of something, and to
two, where both ends of a ring run at once: flat out and paced. Each row is there once, as it was put, in order. On a host with one core
the second half says so. $CP_SECONDS: for each of the four runs (default 1.5)."""

import os
import pathlib
import sys
import time
import unittest

from tests.soak.test_soak import SOUND, Life
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SECONDS = float(os.environ.get("CP_SECONDS") or 1.5)
PRODUCERS = 3
RATES = (10_000, 1_000_000)  # rows a second and producer: what a core takes, and more than it does
# Small rings, so that they are full again and again; the ladder's last rung would drop rows.
TABLE = {"slots": 4, "ring_size": "64KiB", "row_max": "1KiB", "flush": {"interval": "20ms"}}


class Pinned(unittest.TestCase):
    def setUp(self):
        self.server = ChdbServer(build=os.environ.get("COLDPATH_CHDB_BUILD")).start()
        self.addCleanup(self.server.stop)

    def run_on(self, cores, rate):
        recorder = Recorder(self.server, {}, database=f"on{len(cores)}at{rate}")
        self.addCleanup(recorder.close)
        ddl = recorder.work / "ticks.sql"
        ddl.write_text(pathlib.Path("tests/soak/ticks.sql").read_text())
        recorder.settings["tables"] = {"ticks": TABLE | {"ddl": str(ddl), "class": "critical", "wal_limit": "512MiB"}}
        recorder.settings["wal"] = {"dir": str(recorder.work / "wal"), "segment_size": "8MiB"}
        recorder.write_config()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # what is started from here on inherits it
        try:
            recorder.__enter__()
            lives = [Life(recorder, "ticks", f"p{n}", [], rate) for n in range(PRODUCERS)]
        finally:
            os.sched_setaffinity(0, before)
        self.addCleanup(lambda: [life.process.kill() for life in lives if life.process.poll() is None])
        self.assertEqual(os.sched_getaffinity(recorder.process.pid), cores)
        time.sleep(SECONDS)
        for life in lives:
            life.end()
        recorder.wait_delivered(120)
        full = sum(life.full for life in lives)
        print(f"{len(cores)} cores, {rate} rows a second each: {sum(life.put for life in lives)} rows, rings full {full} times", file=sys.stderr)
        for life in lives:
            self.assertGreater(life.put, 0)
            where = f"FROM {recorder.database}.ticks WHERE who = '{life.who}'"
            held = self.server.query(f"SELECT count(), uniqExact(number), countIf({SOUND}), max(number) + 1 {where}").split()
            self.assertEqual(held, [str(life.put)] * 4)
            order = self.server.query("SELECT countIf(position <= before) FROM (SELECT toInt64(_cp_position) AS position, lagInFrame("
                                      f"toInt64(_cp_position), 1, -1) OVER (ORDER BY number ROWS 1 PRECEDING) AS before {where})")
            self.assertEqual(int(order), 0)
        self.assertEqual(recorder.stop(), 0, recorder.read_log()[-2000:])

    def test_one_core(self):
        for rate in RATES:
            with self.subTest(rate=rate):
                self.run_on({min(os.sched_getaffinity(0))}, rate)

    def test_two_cores(self):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            self.skipTest("one core")
        for rate in RATES:
            with self.subTest(rate=rate):
                self.run_on(set(cores[:2]), rate)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
