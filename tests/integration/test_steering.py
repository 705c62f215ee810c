"""`coldpath pause, resume, degrade, rotate`: what an operator does to a running recorder holds, is seen, is logged with who did it, and is
undone; a recorder that is gone, or a name that is wrong, is said."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

DDL = """CREATE TABLE {name} (id UInt64, at DateTime, symbol String, price Int64, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"""
FLUSH = {"interval": "20ms"}
DEADLINE = 60


def rows(first, count):
    return "".join(f'{{"id":{first + i},"at":"2026-01-02 03:04:05","symbol":"S{i % 3}","price":7}}\n' for i in range(count)).encode()


class Steering(unittest.TestCase):
    def setUp(self):
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)
        tables = {"lossy": {"flush": FLUSH, "pressure": {"rungs": ["suppress", "drop"], "key": ["symbol"], "value": ["price"], "calm": "50ms"}},
                  "plain": {"flush": FLUSH}, "critical": {"flush": FLUSH, "class": "critical"}}
        self.recorder = Recorder(self.server, tables, init=False)
        self.addCleanup(self.recorder.close)
        for name in tables:
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            tables[name]["ddl"] = str(ddl)
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", check=True)
        self.recorder.start()
        self.put_rows = dict.fromkeys(tables, 0)

    def put(self, *tables, count=100):
        for table in tables:
            self.recorder.run("coldpath", "put", table, input=rows(self.put_rows[table], count), check=True)
            self.put_rows[table] += count

    def ask(self, *args, code=0):
        done = self.recorder.run("coldpath", *args, "--json")
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else done.stderr.decode()

    def table(self, name):
        return next(table for table in self.recorder.status()["tables"] if table["table"] == name)

    def wait(self, what, why=""):
        end = time.monotonic() + DEADLINE
        while not what():
            self.assertLess(time.monotonic(), end, f"{why}\n{self.recorder.read_log()[-3000:]}")
            time.sleep(0.05)

    def held(self, table):
        return int(self.server.query(f"SELECT count() FROM test.{table}"))

    def wait_held(self, *tables):
        for table in tables:
            self.wait(lambda: self.held(table) == self.put_rows[table], table)

    def test_pause(self):
        self.put("lossy", "plain", "critical")
        self.wait_held("lossy", "plain", "critical")
        answer = self.ask("pause", "lossy")
        self.assertEqual((answer["table"], answer["tables"], answer["changed"]), ("lossy", 1, 1))
        self.assertEqual(self.ask("pause", "critical")["changed"], 1)
        self.assertEqual(self.ask("pause", "lossy")["changed"], 0)
        self.assertIn("0 of 1 table paused: it was so already", self.recorder.run("coldpath", "pause", "lossy").stderr.decode())
        before = self.held("lossy"), self.held("critical")
        self.put("lossy", "plain", "critical")
        self.wait_held("plain")
        self.wait(lambda: self.table("critical")["rows_in_log"] == 100)
        status = self.recorder.status()
        self.assertFalse(status["healthy"])
        self.assertTrue(any("lossy: paused" in reason and "coldpath resume lossy" in reason for reason in status["reasons"]), status["reasons"])
        self.assertLess(abs(time.time() - self.table("lossy")["paused_since"]), 300)
        self.assertIsNone(self.table("plain")["paused_since"])
        metrics = self.recorder.run("coldpath", "monitor", "--once").stdout.decode()
        self.assertIn('recorder_paused{table="lossy"} 1', metrics)
        self.assertIn("recorder_commands_total 4", metrics)
        # It holds across a restart, which does not wait for what is held back.
        self.recorder.restart()
        self.assertRegex(self.recorder.read_log(), 'msg="stopped" .* clean=true')
        self.assertIn('msg="the table is paused" table=lossy', self.recorder.read_log())
        # An urgent flush is none for a paused table.
        self.ask("flush")
        self.put("plain")
        self.wait_held("plain")
        self.assertEqual((self.held("lossy"), self.held("critical")), before)
        self.assertEqual(self.ask("resume", "all")["changed"], 2)
        self.wait_held("lossy", "critical")
        self.wait(lambda: self.recorder.status()["healthy"])
        self.assertTrue(self.recorder.status()["balanced"])
        said = self.recorder.read_log()
        self.assertIn('msg="command" command=pause table=lossy level=0 peer_uid=', said)

    def test_degrade(self):
        self.assertEqual(self.ask("degrade", "lossy", "drop")["changed"], 1)
        self.wait(lambda: self.table("lossy")["pressure"] == 3)
        self.assertEqual(self.table("lossy")["held_level"], "drop")
        self.assertTrue(any("lossy: held on rung 3" in reason for reason in self.recorder.status()["reasons"]))
        self.ask("degrade", "lossy", "suppress")
        self.wait(lambda: self.table("lossy")["pressure"] == 1)
        self.recorder.restart()
        self.wait(lambda: self.table("lossy")["pressure"] == 1)
        # Three symbols of one price: three rows say something, the others nothing new.
        self.put("lossy")
        self.wait(lambda: self.table("lossy")["rows_suppressed"] == 97, self.table("lossy"))
        self.wait(lambda: self.held("lossy") == 3)
        self.assertIn("conflate", self.ask("degrade", "lossy", "conflate", code=1))
        self.assertIn("is of class critical", self.ask("degrade", "critical", "drop", code=1))
        self.assertIn("no rung drop", self.ask("degrade", "plain", "drop", code=1))
        self.assertIn("no level", self.ask("degrade", "lossy", "4", code=1))
        self.ask("degrade", "lossy", "auto")
        self.wait(lambda: self.table("lossy")["pressure"] == 0)
        self.assertIsNone(self.table("lossy")["held_level"])
        # A rung that the configuration no longer has holds nobody.
        self.ask("degrade", "lossy", "drop")
        self.recorder.stop()
        self.recorder.settings["tables"]["lossy"]["pressure"]["rungs"] = ["suppress"]
        self.recorder.write_config()
        self.recorder.start()
        self.assertIsNone(self.table("lossy")["held_level"])

    def segments(self):
        log, = self.ask("wal", "ls", "critical")["tables"]
        return [segment["id"] for segment in log["segments"] if segment["state"] in ("sealed", "newest")]

    def test_rotate(self):
        self.put("critical")
        self.wait_held("critical")
        before = max(self.segments())
        self.assertEqual(self.ask("rotate")["tables"], 1)

        def opened():
            self.put("critical", count=1)
            return max(self.segments()) > before
        self.wait(opened)
        self.put("critical")
        self.wait_held("critical")
        self.assertEqual(max(self.segments()), before + 1)
        self.assertIn("has no log", self.ask("rotate", "lossy", code=1))
        self.assertEqual(self.recorder.run("coldpath", "wal", "verify").returncode, 0)

    def test_what_is_not_possible(self):
        self.assertIn("no table 'quotse'", self.ask("pause", "quotse", code=1))
        self.assertEqual(self.recorder.run("coldpath", "pause").returncode, 64)
        self.assertEqual(self.recorder.run("coldpath", "degrade", "lossy").returncode, 64)
        self.assertEqual(self.recorder.run("coldpath", "pause", "lossy", "plain").returncode, 64)
        self.recorder.stop(signal.SIGKILL)
        for args in (("pause", "lossy"), ("resume", "all"), ("degrade", "lossy", "drop"), ("rotate",), ("flush",), ("reload",)):
            self.assertIn("no recorder runs", self.ask(*args, code=69))
        self.recorder.start()
        self.ask("pause", "lossy")
        self.assertFalse((self.recorder.region / "recorder.socket").stat().st_mode & 0o077)
        self.assertEqual(self.recorder.stop(), 0)
        self.assertFalse((self.recorder.region / "recorder.socket").exists())

    def stop_recorder(self):
        """Every thread of it: SIGSTOP is sent before all of them stand still."""
        self.recorder.process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.recorder.process.pid}/task")
        self.wait(lambda: all((task / "stat").read_text().rpartition(") ")[2].startswith("T") for task in tasks.iterdir()), "a thread goes on")

    def test_stuck_recorder(self):
        """It is told as soon as its heartbeat shows it; what was sent before may be obeyed, nothing more is sent."""
        self.stop_recorder()
        try:
            said = self.ask("pause", "plain", code=1)
            self.assertRegex(said, r"stuck or stopped, .* (it was asked, and may yet do it|it was not asked); .*systemctl restart coldpathd")
            later = [self.recorder.popen("coldpath", *args, stderr=subprocess.PIPE)
                     for args in (("pause", "lossy"), ("degrade", "lossy", "drop"), ("rotate",), ("flush",), ("reload",))]
            for process in later:
                self.assertRegex(process.communicate(timeout=DEADLINE)[1].decode(), r"stuck or stopped, .* it was not asked; .*systemctl restart coldpathd")
                self.assertEqual(process.returncode, 1)
        finally:
            self.recorder.process.send_signal(signal.SIGCONT)
        if "may yet do it" in said:  # else this host took 3 s for starting a program
            self.wait(lambda: self.table("plain")["paused_since"] is not None)
        self.assertIsNone(self.table("lossy")["paused_since"])


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
