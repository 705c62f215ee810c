"""What a running recorder looks after by itself: its file of errors is cut short or taken away, something stands where its control socket
belongs, trash is old enough to go. No ClickHouse is needed."""

import json
import time
import unittest

from tests.support.recorder import Recorder

DDL = "CREATE TABLE {name} (id UInt64, at DateTime) ENGINE = MergeTree ORDER BY id"
DEADLINE = 60
DAY_NS = 24 * 3600 * 10**9


class Housekeeping(unittest.TestCase):
    def setUp(self):
        tables = {"lossy": {"flush": {"interval": "10ms"}}, "critical": {"class": "critical"}}
        self.recorder = Recorder("http://127.0.0.1:9", tables, init=False,
                                 extra={"trash": {"keep": "48h"}, "recorder": {"stop_timeout": "1s"}})
        self.addCleanup(self.recorder.close)
        for name in tables:
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            tables[name]["ddl"] = str(ddl)
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", "--no-tables", check=True)

    def wait(self, what):
        end = time.monotonic() + DEADLINE
        while not (found := what()):
            self.assertLess(time.monotonic(), end, self.recorder.read_log()[-3000:])
            time.sleep(0.05)
        return found

    def refused(self):
        """A warning of the recorder's, as it stands in the file of errors."""
        self.recorder.run("coldpath", "degrade", "lossy", "drop")
        done = self.recorder.run("coldpath", "errors", "--json")
        return done.returncode == 0 and any(error["message"] == "command not possible" for error in json.loads(done.stdout)["errors"])

    def test_errors_file(self):
        """Bytes that are gone under the recorder's feet cost what was noted in them, and nothing else."""
        self.recorder.start()
        process = self.recorder.process
        kept = self.recorder.region / "errors"
        whole = kept.stat().st_size
        for harm in (lambda: kept.write_bytes(b""), lambda: kept.write_bytes(kept.read_bytes()[:5000]), kept.unlink):
            self.wait(self.refused)
            harm()
            for _ in range(20):  # noted into what is not there
                self.recorder.run("coldpath", "degrade", "lossy", "drop")
            self.wait(lambda: kept.exists() and kept.stat().st_size == whole)
            self.wait(self.refused)
        self.assertIsNone(process.poll(), self.recorder.read_log()[-3000:])
        self.assertIn('msg="the file of errors was cut short or taken away"', self.recorder.read_log())

    def notice(self):
        return next((line for line in self.recorder.status()["notices"] if "takes no commands" in line), None)

    def socket_check(self):
        done = json.loads(self.recorder.run("coldpath", "doctor", "--json").stdout)
        return next((check for check in done["checks"] if check["check"] == "control socket"), None)

    def test_control_socket(self):
        """Something is in its way: said in status and doctor, with what mends it; and when that is done, commands are taken again."""
        in_the_way = self.recorder.region / "recorder.socket"
        in_the_way.mkdir()
        self.recorder.start()
        self.assertIn("is no socket: remove it", self.wait(self.notice))
        self.assertEqual(self.socket_check()["verdict"], "wrong")
        self.assertIn("rmdir", self.socket_check()["remedy"])
        self.assertNotEqual(self.recorder.run("coldpath", "pause", "lossy").returncode, 0)
        in_the_way.rmdir()
        self.wait(lambda: self.recorder.run("coldpath", "pause", "lossy").returncode == 0)
        self.wait(lambda: not self.notice())
        self.assertIsNone(self.socket_check())
        in_the_way.unlink()  # while it runs
        self.wait(lambda: self.recorder.run("coldpath", "resume", "lossy").returncode == 0)

    def test_trash(self):
        now = time.time_ns()
        trashes = [self.recorder.work / "quarantine/test/trash", self.recorder.work / "wal/test/critical/trash"]
        for trash in trashes:
            trash.mkdir(parents=True)
            for age in (1, 3):
                (trash / f"lossy.{now - age * DAY_NS}.dropped").write_bytes(b"x")
            (trash / "kept").write_bytes(b"x")
        self.recorder.start()
        for trash in trashes:
            self.wait(lambda trash=trash: {file.name for file in trash.iterdir()} == {"kept", f"lossy.{now - DAY_NS}.dropped"})
        self.wait(lambda: self.recorder.read_log().count('msg="trash deleted"') == 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
