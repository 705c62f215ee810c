"""A column is added while everything runs: the old producer, built against the old header, is never stopped; rows that wait in
rings and logs at the change arrive with the column's default; a producer of the new header fills it; nothing is lost, nothing
twice. Then the old form is retired. What is no addition is refused, with what to do instead."""

import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, build_dir, engine_present
from tests.support.recorder import Recorder

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TABLE = """CREATE TABLE t
(
    id UInt64,
    x Nullable(Int32),{added}
    note String,
    _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64
)
ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"""
ADDED = """
    venue LowCardinality(String) DEFAULT 'spot',
    fee Nullable(Float64) DEFAULT 0.5,"""
INCLUDES = ("base/include", "schema/include", "shm/include")


class Evolution(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-evolution-")
        self.addCleanup(path.cleanup)
        self.server = ChdbServer(path=path.name).start()
        self.server.args = ["--port", str(self.server.port)]
        self.addCleanup(self.server.stop)

    def start(self, kind):
        self.table = {"class": kind, "ring_size": "4MiB", "slots": 4, "flush": {"interval": "50ms"}}
        if kind == "critical":
            self.table["wal_limit"] = "64MiB"
        self.recorder = Recorder(self.server, {"t": {}}, init=False)
        self.addCleanup(self.recorder.close)
        self.old = self.recorder.work / "t.sql"
        self.new = self.recorder.work / "t_v2.sql"
        self.old.write_text(TABLE.format(added=""))
        self.new.write_text(TABLE.format(added=ADDED))
        if kind == "critical":
            self.recorder.settings["wal"] = {"dir": str(self.recorder.work / "wal"), "segment_size": "8MiB"}
        self.configure({"t": {"ddl": str(self.old)}})
        self.apply()
        self.recorder.start()

    def configure(self, tables):
        self.recorder.settings["tables"] = {name: self.table | settings for name, settings in tables.items()}
        self.recorder.write_config()

    def apply(self):
        self.recorder.run("coldpath", "schema", "apply", check=True)
        self.assertEqual(self.recorder.run("coldpath", "schema", "diff").returncode, 0)

    def producer(self, ddl, first, flags=()):
        """Compiled against the header of ddl, as a user does, and started."""
        directory = self.recorder.work / ddl.stem
        directory.mkdir(exist_ok=True)
        header = self.recorder.run("coldpath", "schema", "gen", ddl, check=True).stdout
        (directory / "t.h").write_bytes(header)
        library = build_dir() / "lib"
        subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", *flags, f"-I{directory}",
                        *(f"-I{SOURCE / include}" for include in INCLUDES), SOURCE / "tests/integration/put_evolving.c", "-o",
                        directory / "put", f"-L{library}", "-lcoldpath", f"-Wl,-rpath,{library}"], check=True, timeout=120)
        process = subprocess.Popen([directory / "put", self.recorder.region, str(first)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def ended(self, process):
        process.send_signal(signal.SIGTERM)
        rows = int(process.stdout.read())
        self.assertEqual(process.wait(60), 0)
        return rows

    def ask(self, sql):
        return self.server.query(sql, database="test").strip()

    def change(self, kind):
        self.start(kind)
        old = self.producer(self.old, 0)
        time.sleep(1)
        # ClickHouse goes away, then the recorder dies: rows wait in ring and log when the form changes.
        self.server.end(signal.SIGKILL)
        time.sleep(0.5)
        self.recorder.stop(signal.SIGKILL)
        waiting = self.recorder.status()["tables"][0]
        self.assertGreater(waiting["rows_in_log" if kind == "critical" else "rows_in_ring"], 500)
        self.server.start()
        self.configure({"t": {"ddl": str(self.old)}, "t_v2": {"version_of": "t", "ddl": str(self.new)}})
        self.apply()
        self.recorder.start()
        new = self.producer(self.new, 10_000_000, ["-DT_HAS_VENUE"])
        time.sleep(1.5)
        self.recorder.restart()
        time.sleep(1)
        self.assertIsNone(old.poll(), "the old producer was never stopped")
        put_new, put_old = self.ended(new), self.ended(old)
        self.assertGreater(put_old, 3000)
        self.assertGreater(put_new, 1000)
        status = self.recorder.wait_delivered()
        self.assertTrue(status["balanced"], status)
        self.assertEqual(self.ask("SELECT count(), uniqExact(id), max(id) + 1, groupUniqArray((venue, fee)) FROM t WHERE id < 10000000"),
                         f"{put_old}\t{put_old}\t{put_old}\t[('spot',0.5)]")
        self.assertEqual(self.ask("SELECT count(), uniqExact(id), groupUniqArray(venue), countIf(fee = id / 8) FROM t "
                                  "WHERE id >= 10000000"), f"{put_new}\t{put_new}\t['new']\t{put_new}")
        self.assertEqual(self.ask("SELECT countIf(isNull(x) != (id % 3 = 0)), countIf(note != 'note') FROM t"), "0\t0")
        audit = self.recorder.run("coldpath", "audit", "--json")
        self.assertEqual(audit.returncode, 0, audit.stdout)
        self.retire(put_old + put_new)

    def retire(self, rows):
        """Nobody puts the old form any more: the new one takes its name; its producers are not compiled again."""
        self.assertEqual(self.recorder.stop(), 0)
        self.configure({"t": {"ddl": str(self.new)}})
        self.recorder.start()
        self.apply()
        producer = self.producer(self.new, 20_000_000, ["-DT_HAS_VENUE"])
        time.sleep(0.5)
        put = self.ended(producer)
        self.recorder.wait_delivered()
        self.assertEqual(self.ask("SELECT count(), countIf(venue = 'new' AND id >= 20000000) FROM t"), f"{rows + put}\t{put}")

    def test_lossy(self):
        self.change("lossy")

    def test_critical(self):
        self.change("critical")

    def test_refused(self):
        self.start("lossy")

        def check():
            return self.recorder.run("coldpath", "check")

        self.configure({"t": {"ddl": str(self.old)}, "t_v2": {"version_of": "t", "ddl": str(self.new)}})
        self.assertEqual(check().returncode, 0, check().stderr)
        for text, words in ((TABLE.format(added="").replace("note String", "note LowCardinality(String)"),
                             "column 'note' is LowCardinality(String) in it, but String before"),
                            (TABLE.format(added="").replace("    note String,\n", ""), "it lacks column 'note'"),
                            (TABLE.format(added="").replace("TABLE t", "TABLE u"), 'creates table "u", not "t"')):
            self.new.write_text(text)
            self.assertIn(words, check().stderr.decode())
            self.assertEqual(check().returncode, 78)
        self.new.write_text(TABLE.format(added=ADDED))
        self.configure({"t_v2": {"version_of": "t", "ddl": str(self.new)}})
        self.assertIn('there is no table "t" above it', check().stderr.decode())
        self.configure({"t": {"ddl": str(self.new)}})
        # Without a version, a program of another form is told so, and does not begin.
        with self.assertRaisesRegex(AssertionError, "ready"):
            self.producer(self.new, 0, ["-DT_HAS_VENUE"])


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
