"""coldpathd when things are not as they should be: each a clear message, the right exit code, and no row lost."""

import json
import os
import pathlib
import resource
import signal
import struct
import sys
import tempfile
import time
import unittest

from tests.support.chdb import ChdbServer, engine_present
from tests.support.recorder import Recorder

COLUMNS = "recv_ts,exch_ts,venue,symbol,update_id,bid_px,bid_qty,ask_px,ask_qty\n"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens


def rows(first, count):
    return (COLUMNS + "".join(f"{1_700_000_000_000_000_000 + n},,v,S,{n},1,1,2,1\n"
                              for n in range(first, first + count))).encode()


class Coldpathd(unittest.TestCase):
    """Each test has a recorder of its own, not started, with one table."""

    def make(self, url=NOWHERE, tables=None, **kwargs):
        kwargs.setdefault("extra", {"recorder": {"stop_timeout": "200ms"}})
        recorder = Recorder(url, tables or {"quotes": {"ring_size": "1MiB"}}, init=False, **kwargs)
        self.addCleanup(recorder.close)
        return recorder

    def put(self, recorder, first, count):
        recorder.run("coldpath", "put", "quotes", "--format", "CSVWithNames", input=rows(first, count), check=True)

    def refused(self, recorder, code, *words):
        """coldpathd ends at once with this code, and says these words."""
        done = recorder.run("coldpathd", timeout=30)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, message)
        for word in words:
            self.assertIn(word, message)

    def test_usage(self):
        recorder = self.make()
        self.assertEqual(recorder.run("coldpathd", "--no-such").returncode, 64)
        self.assertEqual(recorder.run("coldpathd", "extra").returncode, 64)
        self.assertEqual(recorder.run("coldpathd", "--version").returncode, 0)

    def test_bad_configuration(self):
        recorder = self.make()
        recorder.config.write_text("namespace: x\ntables:\n  quotes: {rnig_size: 1MiB}\n")
        self.refused(recorder, 78, "coldpath.yaml:3:", "rnig_size", "ring_size")

    def test_a_file_size_limit_is_an_error_not_the_end(self):
        recorder = self.make()
        done = recorder.run("coldpathd", timeout=30,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, 512 * 1024)))
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn("File too large", done.stderr.decode())

    def test_bad_ddl(self):
        recorder = self.make()
        ddl = recorder.work / "quotes.sql"
        ddl.write_text("CREATE TABLE quotes\n(\n    a Int32,\n    b Strnig\n)\nENGINE = MergeTree ORDER BY a")
        recorder.settings["tables"]["quotes"]["ddl"] = str(ddl)
        recorder.write_config()
        self.refused(recorder, 78, "quotes.sql:4:", "Strnig", "String")

    def test_no_configuration(self):
        recorder = self.make()
        recorder.config.unlink()
        self.refused(recorder, 78, str(recorder.config))

    def test_a_cpu_that_is_not_there(self):
        recorder = self.make(extra={"recorder": {"drain_cpu": 1000}})
        self.refused(recorder, 78, "drain_cpu")

    def test_memory_limit_too_small(self):
        recorder = self.make(extra={"recorder": {"memory_limit": "1MiB"}})
        self.refused(recorder, 78, "memory_limit")

    def test_a_second_recorder(self):
        recorder = self.make().start()
        self.refused(recorder, 69, "another recorder runs")

    def test_a_region_of_another_version(self):
        recorder = self.make().start()
        recorder.stop()
        with open(recorder.region / "control", "r+b") as control:
            control.seek(8)
            control.write(struct.pack("<I", 99))
        self.refused(recorder, 69, "99.", "version")

    @unittest.skipIf(os.geteuid() != 0, "needs root to become somebody else")
    def test_missing_permissions(self):
        recorder = self.make()
        for path in (recorder.work, recorder.region_root):
            os.chmod(path, 0o755)
        with tempfile.TemporaryDirectory() as link:
            # The build may lie where only root can go: hand the program over as an open file.
            program = os.open(recorder.build / "bin/coldpathd", os.O_RDONLY)
            os.chmod(link, 0o755)
            os.set_inheritable(program, True)
            try:
                import subprocess
                ddl = pathlib.Path(link) / "quotes.sql"
                ddl.write_text("CREATE TABLE quotes (a Int32) ENGINE = MergeTree ORDER BY a")
                recorder.settings["schema"] = {"dir": link}
                recorder.write_config()
                done = subprocess.run([f"/proc/self/fd/{program}", "--config", str(recorder.config)], user=65534,
                                      group=65534, extra_groups=[], capture_output=True, pass_fds=(program,), timeout=30)
            finally:
                os.close(program)
        self.assertEqual(done.returncode, 74, done.stderr)
        self.assertIn(b"Permission denied", done.stderr)
        self.assertIn(str(recorder.region_root).encode(), done.stderr)

    def test_a_full_ring_without_clickhouse(self):
        recorder = self.make(tables={"quotes": {"ring_size": "64KiB", "row_max": "4KiB",
                                               "pressure": {"early_release": "off"}}}).start()
        done = recorder.run("coldpath", "put", "quotes", "--format", "CSVWithNames", "--timeout", "300ms", "--json",
                            input=rows(0, 5000))
        self.assertEqual(done.returncode, 1)
        put = json.loads(done.stdout)["rows_put"]
        self.assertGreater(put, 100)
        self.assertLess(put, 5000)
        self.assertEqual(recorder.status()["tables"][0]["rows_in_ring"], put)
        self.assertGreater(recorder.status()["tables"][0]["full"], 0)

    def test_a_broken_ring_is_set_aside_alone(self):
        recorder = self.make().start()
        self.put(recorder, 0, 10)
        with open(recorder.region / "quotes.0.ring", "r+b") as ring:
            ring.seek(4096)
            ring.write(struct.pack("<Q", 12345))
        deadline = time.monotonic() + 10
        while "ring broken" not in recorder.read_log():
            self.assertLess(time.monotonic(), deadline, recorder.read_log())
            time.sleep(0.02)
        log = recorder.read_log()
        for word in ("table=quotes", "slot=0", "bad position", "remedy="):
            self.assertIn(word, log)
        self.assertEqual(recorder.status()["tables"][0]["rings_broken"], 1)
        self.put(recorder, 100, 10)  # takes another slot
        self.assertEqual(recorder.run("coldpath", "status").returncode, 2)

    def test_killed_while_it_changes_the_region(self):
        points = [point for point in self.make().failpoints() if point.startswith("region.")]
        for point in points:
            for goes_on_with in ("old", "new"):
                with self.subTest(point=point, goes_on_with=goes_on_with):
                    self.change_killed_at(point, goes_on_with)

    def change_killed_at(self, point, goes_on_with):
        recorder = self.make(tables={"quotes": {"ring_size": "1MiB"}, "trades": {"ring_size": "1MiB"}})
        recorder.start()
        self.put(recorder, 0, 50)
        recorder.stop()
        old = recorder.config.read_text()
        recorder.settings["tables"] = {"quotes": {"ring_size": "1MiB", "slots": 12}, "trades": {"ring_size": "2MiB"},
                                       "l2_updates": {}}
        recorder.write_config()
        recorder.extra_environment = {"COLDPATH_FAILPOINT": point}
        with self.assertRaises(RuntimeError):
            recorder.start()
        self.assertEqual(recorder.process.returncode, -signal.SIGKILL)
        recorder.extra_environment = {}
        if goes_on_with == "old" and point != "region.replaced":
            recorder.config.write_text(old)
        recorder.start()
        self.put(recorder, 50, 50)
        trade = '{"recv_ts":1,"venue":"v","symbol":"S","trade_id":1,"price":"1","qty":"1","buyer_is_maker":true}'
        recorder.run("coldpath", "put", "trades", input=trade.encode(), check=True)
        held = {table["table"]: table["rows_in_ring"] for table in recorder.status()["tables"]}
        self.assertEqual((held["quotes"], held["trades"]), (100, 1))
        self.assertNotIn("ring broken", recorder.read_log())

    def test_idle_takes_little(self):
        recorder = self.make().start()
        time.sleep(1)

        def cpu():
            fields = pathlib.Path(f"/proc/{recorder.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        before = cpu()
        time.sleep(5)
        used = (cpu() - before) / 5
        print(f"idle: {used * 100:.1f} % of a core", file=sys.stderr)
        self.assertLess(used, 0.03)  # the aim is 1 %; a noisy host gets room

    def test_password_is_nowhere_to_be_seen(self):
        recorder = self.make(extra={"clickhouse": {"url": NOWHERE, "user": "u", "password": "very-secret-word"}})
        os.chmod(recorder.config, 0o600)
        recorder.start()
        self.put(recorder, 0, 10)
        time.sleep(0.3)
        proc = pathlib.Path(f"/proc/{recorder.process.pid}")
        self.assertNotIn(b"very-secret-word", (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes())
        recorder.stop()
        self.assertNotIn("very-secret-word", recorder.read_log())


class WithEngine(Coldpathd):
    """Those that need a ClickHouse. The others are not run again."""

    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer(user="recorder", password="right").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.query("DROP DATABASE IF EXISTS test")

    def credentials(self, password):
        return {"recorder": {"stop_timeout": "200ms"},
                "clickhouse": {"user": "recorder", "password": password, "retry_min": "20ms", "retry_max": "200ms"}}

    def recorder(self, password="right", url=None):
        recorder = self.make(url or self.server.url, extra=self.credentials(password))
        os.chmod(recorder.config, 0o600)
        return recorder

    def delivered(self):
        return self.server.query("SELECT count(), uniqExact(update_id) FROM test.quotes").split()

    def init(self, recorder):
        recorder.run("coldpath", "init", check=True)

    def test_clickhouse_absent_at_start(self):
        path = tempfile.mkdtemp(prefix="coldpath-late-")
        late = ChdbServer(path=path, user="recorder", password="right").start()
        port = late.port
        recorder = self.recorder(url=late.url)
        self.init(recorder)
        late.end()
        recorder.start()
        self.put(recorder, 0, 1000)
        time.sleep(1)
        self.assertEqual(recorder.status()["tables"][0]["rows_in_ring"], 1000)
        self.assertIn("does not answer", recorder.read_log())
        late.args = ["--port", str(port)]  # the last --port wins
        late.start()
        self.addCleanup(late.stop)
        recorder.wait_delivered()
        self.assertEqual(late.query("SELECT count(), uniqExact(update_id) FROM test.quotes").split(), ["1000", "1000"])

    def test_wrong_password(self):
        right = self.recorder()
        self.init(right)
        recorder = self.recorder("wrong")
        recorder.start()
        self.put(recorder, 0, 100)
        deadline = time.monotonic() + 20
        while "516" not in recorder.read_log():
            self.assertLess(time.monotonic(), deadline, recorder.read_log())
            time.sleep(0.05)
        while recorder.run("coldpath", "status").returncode != 2:
            self.assertLess(time.monotonic(), deadline, recorder.read_log())
        self.assertEqual(recorder.stop(), 0)
        self.assertIn("rows_kept_in_region=100", recorder.read_log())
        recorder.settings["clickhouse"]["password"] = "right"
        recorder.write_config()
        recorder.start()
        recorder.wait_delivered()
        self.assertEqual(self.delivered(), ["100", "100"])

    def test_a_missing_table_holds_up_nobody(self):
        recorder = self.make(self.server.url, {"quotes": {}, "trades": {}}, extra=self.credentials("right"))
        os.chmod(recorder.config, 0o600)
        self.init(recorder)
        create = self.server.query("SHOW CREATE TABLE test.trades FORMAT TSVRaw")
        self.server.query("DROP TABLE test.trades")
        recorder.start()
        trade = '{"recv_ts":1,"venue":"v","symbol":"S","trade_id":1,"price":"1","qty":"1","buyer_is_maker":true}\n'
        recorder.run("coldpath", "put", "trades", input=trade.encode(), check=True)
        self.put(recorder, 0, 100)
        deadline = time.monotonic() + 20
        while self.delivered() != ["100", "100"] or "UNKNOWN_TABLE" not in recorder.read_log():
            self.assertLess(time.monotonic(), deadline, recorder.read_log())
            time.sleep(0.05)
        self.server.query(create)
        recorder.wait_delivered()
        self.assertEqual(self.server.query("SELECT count() FROM test.trades").strip(), "1")

    def test_killed_and_started_again_loses_nothing(self):
        recorder = self.recorder()
        self.init(recorder)
        recorder.start()
        for n in range(8):
            self.put(recorder, n * 1000, 1000)
            time.sleep(0.05 * n)
            self.assertEqual(recorder.stop(signal.SIGKILL), -signal.SIGKILL)
            recorder.start()
        recorder.wait_delivered()
        self.assertEqual(self.delivered(), ["8000", "8000"])

    def test_stopped_with_a_batch_on_the_wire(self):
        recorder = self.recorder()
        self.init(recorder)
        recorder.start()
        self.put(recorder, 0, 10)
        recorder.wait_delivered()
        os.kill(self.server.pid, signal.SIGSTOP)  # takes the request, and does not answer
        try:
            self.put(recorder, 10, 1000)
            time.sleep(1)
            begin = time.monotonic()
            self.assertEqual(recorder.stop(), 0)
            self.assertLess(time.monotonic() - begin, 5)
        finally:
            os.kill(self.server.pid, signal.SIGCONT)
        self.assertIn("rows_kept_in_region=1000", recorder.read_log())
        self.put(recorder, 1010, 10)  # the next recorder would cut other batches
        recorder.start()
        recorder.wait_delivered()
        self.assertEqual(self.delivered(), ["1020", "1020"])

    def test_small_rings_do_not_wait_for_the_interval(self):
        recorder = self.make(self.server.url, {"quotes": {"ring_size": "64KiB", "row_max": "4KiB", "slots": 1}},
                             extra=self.credentials("right"))
        os.chmod(recorder.config, 0o600)
        self.init(recorder)
        recorder.start()
        self.put(recorder, 0, 10)
        recorder.wait_delivered()
        begin = time.monotonic()
        self.put(recorder, 10, 10000)  # some fifteen rings full
        self.assertLess(time.monotonic() - begin, 4)
        recorder.wait_delivered()
        self.assertEqual(self.delivered(), ["10010", "10010"])

    def test_configuration_grows_while_rows_wait(self):
        recorder = self.recorder()
        self.init(recorder)
        self.put(recorder, 0, 500)
        recorder.settings["tables"]["trades"] = {}
        recorder.write_config()
        self.init(recorder)
        recorder.start()
        recorder.wait_delivered()
        self.assertEqual(self.delivered(), ["500", "500"])
        self.assertEqual([table["table"] for table in recorder.status()["tables"]], ["quotes", "trades"])


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(Coldpathd))
    inherited = set(loader.getTestCaseNames(Coldpathd))
    if engine_present():
        suite.addTests(WithEngine(name) for name in loader.getTestCaseNames(WithEngine) if name not in inherited)
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
