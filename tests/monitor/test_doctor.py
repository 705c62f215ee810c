"""`coldpath doctor`: says nothing wrong of a sound recorder, and finds each fault that a test can bring about, with its remedy."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

TABLES = {"quotes": {}, "trades": {"class": "critical"}}


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def recorder(self, tables=None, start=True, **extra):
        recorder = Recorder(self.server, tables or TABLES, **extra)
        self.addCleanup(recorder.close)
        recorder.run("coldpath", "init", check=True)
        return recorder.start() if start else recorder

    def ask(self, recorder, code=None, **kwargs):
        done = recorder.run("coldpath", "doctor", "--json", **kwargs)
        answer = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if answer["healthy"] else 2, answer)
        if code is not None:
            self.assertEqual(done.returncode, code, [check for check in answer["checks"] if check["verdict"] == "wrong"])
        return answer["checks"]

    def wrong(self, checks):
        found = [check for check in checks if check["verdict"] == "wrong"]
        for check in found:
            if check["check"] not in ("region",):
                self.assertTrue(check["remedy"], check)
        return {check["check"]: check for check in found}

    def test_sound(self):
        recorder = self.recorder()
        checks = self.ask(recorder, 0)
        seen = {check["check"] for check in checks if check["verdict"] == "ok"}
        for check in ("region", "recorder", "room", "ClickHouse", "clock of ClickHouse", "deduplication", "schema", "open files",
                      "memlock", "logs' file system"):
            self.assertIn(check, seen)
        text = recorder.run("coldpath", "doctor").stdout.decode()
        self.assertRegex(text, r"(?m)^ok +deduplication: ")

    def test_dead_recorder(self):
        recorder = self.recorder()
        recorder.run("coldpath", "pause", "quotes", check=True)
        recorder.run("coldpath", "pause", "trades", check=True)
        recorder.run("coldpath", "put", "trades", input=b'{"price": "1"}\n', check=True)
        self.assertRegex(recorder.run("coldpath", "top", "--once").stdout.decode(), r"(?m)^trades +critical .* 1 +\? ")
        recorder.stop(signal.SIGKILL)
        self.assertRegex(recorder.run("coldpath", "monitor", "--once").stdout.decode(),
                         r'(?m)^recorder_oldest_unshipped_timestamp_seconds\{table="trades"\} [1-9]')  # in its ring or its log
        self.assertRegex(recorder.run("coldpath", "status").stdout.decode(), r"(?m)^clickhouse +when it was last seen, .+ ago: \w+")
        killed, paused, _ = [check for check in self.ask(recorder, 2) if check["check"] == "recorder"]
        self.assertIn("it was killed", killed["found"])
        self.assertIn("start coldpathd", killed["remedy"])
        # Each with its own remedy.
        self.assertIn("coldpath resume quotes, once a recorder runs", paused["found"])
        self.assertNotIn("start coldpathd", paused["remedy"])

    def test_window(self):
        """The remedy is a statement that heals."""
        recorder = self.recorder()
        self.server.query("ALTER TABLE test.quotes MODIFY SETTING non_replicated_deduplication_window = 0")
        try:
            finding = self.wrong(self.ask(recorder, 2))["deduplication"]
            self.assertIn("quotes", finding["found"])
            self.server.query(finding["remedy"], database="test")
            self.assertNotIn("deduplication", self.wrong(self.ask(recorder)))
        finally:
            self.server.query("ALTER TABLE test.quotes MODIFY SETTING non_replicated_deduplication_window = 10000")

    def test_drift(self):
        recorder = self.recorder()
        self.server.query("ALTER TABLE test.trades DROP COLUMN buyer_is_maker")
        try:
            self.assertIn("schema diff", self.wrong(self.ask(recorder, 2))["schema"]["remedy"])
        finally:
            self.server.query("DROP TABLE test.trades SYNC")

    def test_no_server(self):
        recorder = self.recorder(start=False)
        recorder.settings["clickhouse"]["url"] = "http://127.0.0.1:9"
        recorder.write_config()
        self.assertIn("127.0.0.1:9", self.wrong(self.ask(recorder, 2))["ClickHouse"]["found"])

    def test_server_hangs(self):
        """What needs no ClickHouse is said before it is asked, and it is waited for as long as a person would."""
        recorder = self.recorder(start=False)
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            said = recorder.run("coldpath", "doctor").stdout.decode()
        finally:
            os.kill(self.server.pid, signal.SIGCONT)
        self.assertRegex(said, r"(?s)\nok +room: .*\nwrong +ClickHouse: [^\n]*last 5 seconds.*\n +-> ")

    def test_log_in_memory(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            recorder = self.recorder(start=False, extra={"wal": {"dir": memory}})
            self.assertIn("do not survive", self.wrong(self.ask(recorder, 2))["logs' file system"]["found"])

    @unittest.skipUnless(os.path.exists("/sys/kernel/mm/transparent_hugepage/shmem_enabled"), "a kernel without huge pages")
    def test_huge_pages(self):
        """The remedy is a mount that heals."""
        with tempfile.TemporaryDirectory(prefix="coldpath-huge-") as memory:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "coldpath-test", memory], capture_output=True, check=False)
            if mounted.returncode:
                self.skipTest(mounted.stderr.decode())
            self.addCleanup(subprocess.run, ["umount", "-l", memory], capture_output=True, check=False)
            recorder = self.recorder(start=False, extra={"region": {"dir": memory}})
            find = lambda: next(check for check in self.ask(recorder, 2) if check["check"] == "huge pages")
            finding = find()
            self.assertIn(f"{memory} has none", finding["found"])
            remedy = re.fullmatch(r"mount -o (\S+) (\S+), before.*", finding["remedy"])
            if subprocess.run(["mount", "-o", remedy[1], remedy[2]], capture_output=True, check=False).returncode:
                self.skipTest("this kernel mounts none with huge pages")
            self.assertEqual(find()["verdict"], "ok")
            subprocess.run(["umount", "-l", memory], check=True)

    def test_no_room(self):
        """A log that may grow larger than its disk."""
        recorder = self.recorder(start=False)
        recorder.settings["wal"]["segment_size"] = "1GiB"
        recorder.settings["tables"] = {"trades": {"class": "critical", "wal_limit": "9000GiB"}}
        recorder.write_config()
        self.assertIn("disk of the logs", self.wrong(self.ask(recorder, 2))["room"]["found"])

    def test_few_files(self):
        recorder = self.recorder()
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
        self.assertIn("LimitNOFILE", self.wrong(self.ask(recorder, 2, preexec_fn=few))["open files"]["remedy"])

    def test_bad_configuration(self):
        recorder = self.recorder(start=False)
        recorder.config.write_text("nonsense: 1\n")
        self.assertEqual(recorder.run("coldpath", "doctor").returncode, 78)


if __name__ == "__main__":
    if not engine_present():
        print("skipped: the embedded engine is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
