"""Against a real clickhouse-server, Debian's 18.16: it knows no deduplication tokens, no zstd bodies and no DateTime64. The
recorder finds that out, sends what the server understands, and shows "at least once"; and nothing is lost when the server is
killed, refuses the user, only lets him read, or has a full disk."""

import collections
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chaos import RESET, WHOLE, ChaosProxy, Fault
from tests.support.chdb import SKIP
from tests.support.real_server import RealServer, server_present
from tests.support.recorder import Recorder

DDL = """CREATE TABLE IF NOT EXISTS {name}
(producer LowCardinality(String), number UInt64, at DateTime('UTC'), day Date, price Decimal(18, 8), wide Decimal(38, 10),
 qty Float64, small Int8, code Nullable(Int32), levels Array(UInt32), kind Enum8('bid' = 1, 'ask' = 2), id UUID,
 tag FixedString(4), note String, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree PARTITION BY number % 2 ORDER BY (producer, number)"""
SELECT = "producer, number, at, day, price, wide, qty, small, code, levels, kind, id, tag, note"
SINK = {"user": "recorder", "password": "right", "retry_min": "10ms", "retry_max": "100ms", "request_timeout": "5s"}
FLUSH = {"interval": "20ms", "rows": 500}
DISK_BYTES = 24 * 1024 * 1024


def row(number, note="x"):
    """As ClickHouse writes it in CSV."""
    code = number - 500 if number % 3 else r"\N"
    levels = ",".join(str(number + i) for i in range(number % 4))
    kind = "ask" if number % 2 else "bid"
    return (f'"p",{number},"2023-11-14 22:{number // 60 % 60:02}:{number % 60:02}","2023-11-14",{number}.50000000,-{number}.2500000000,'
            f'{number / 4:.15g},{number % 256 - 128},{code},"[{levels}]","{kind}","00000000-0000-0000-0000-{number:012x}",'
            f'"t{number % 1000:03}","{note} ""{number}"""\n')


class RealServerTest(unittest.TestCase):
    def setUp(self):
        path = tempfile.TemporaryDirectory(prefix="coldpath-real-")
        self.addCleanup(path.cleanup)
        self.use(path.name)

    def use(self, path):
        """A server with its data at path, and a recorder with one critical and one lossy table."""
        self.server = RealServer(path=path).start()
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, {}, extra={"clickhouse": SINK, "recorder": {"stop_timeout": "500ms"}})
        self.addCleanup(self.recorder.close)
        tables = {"kept": {"class": "critical", "wal_limit": "64MiB", "flush": FLUSH}, "passing": {"flush": FLUSH}}
        for name, settings in tables.items():
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            settings["ddl"] = str(ddl)
        self.recorder.settings |= {"tables": tables, "wal": {"dir": str(self.recorder.work / "wal"), "segment_size": "2MiB"}}
        self.configure()
        self.recorder.__enter__()
        self.put_rows = collections.Counter()

    def configure(self, **clickhouse):
        self.recorder.settings["clickhouse"] |= clickhouse
        self.recorder.write_config()
        os.chmod(self.recorder.config, 0o600)

    def put(self, count, note="x"):
        for table in ("kept", "passing"):
            first = self.put_rows[table]
            self.put_rows[table] += count
            self.recorder.run("coldpath", "put", table, "--format", "CSV", check=True,
                              input="".join(row(n, note) for n in range(first, first + count)).encode())

    def held(self, table):
        """(rows, distinct rows)"""
        text = self.server.query(f"SELECT count(), uniqExact(number) FROM test.{table}")
        return tuple(int(field) for field in text.split())

    def wait_log(self, *words, timeout=10):
        deadline = time.monotonic() + timeout
        while not any(all(word in line for word in words) for line in self.recorder.read_log().splitlines()):
            self.assertLess(time.monotonic(), deadline, f"no {words} in\n{self.recorder.read_log()[-3000:]}")
            time.sleep(0.01)

    def check_nothing_lost(self, twice=False):
        """Everything is there; twice: some of it may be there more than once."""
        status = self.recorder.wait_delivered()
        self.assertTrue(status["balanced"], status)
        for table in ("kept", "passing"):
            rows, distinct = self.held(table)
            self.assertEqual(distinct, self.put_rows[table])
            if not twice:
                self.assertEqual(rows, self.put_rows[table])

    def test_what_it_can_and_what_it_gets(self):
        self.put(1000)
        self.check_nothing_lost()
        self.wait_log("ClickHouse answers", "version=18.16", "tokens=no", "zstd=no")
        for table in self.recorder.status()["tables"]:
            self.assertEqual(table["guarantee"], "at least once")
            held = self.server.query(f"SELECT {SELECT} FROM test.{table['table']} ORDER BY number FORMAT CSV")
            self.assertEqual(held, "".join(row(n) for n in range(1000)))
        self.assertNotIn("insert failed", self.recorder.read_log())
        audit = self.recorder.run("coldpath", "audit")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        answer = self.recorder.run("coldpath", "query", "SELECT count() FROM kept")
        self.assertEqual((answer.returncode, answer.stdout.strip()), (0, b"count()\n1000"), answer.stderr)

    def test_a_lost_reply_may_repeat_rows_and_status_says_so(self):
        """What "at least once" means, and why it is not called anything better."""
        with ChaosProxy(self.server.port) as proxy:
            lost = [Fault("f", WHOLE, way=RESET)] * 10
            proxy.plan = lambda request: lost.pop() if request.table and lost else None
            self.recorder.stop()
            self.configure(url=proxy.url)
            self.recorder.start()
            self.put(100)
            self.check_nothing_lost(twice=True)
            self.assertEqual({request.token for request in proxy.requests}, {""})
            self.assertGreater(self.held("kept")[0] + self.held("passing")[0], 200)
            audit = self.recorder.run("coldpath", "audit")
            self.assertEqual(audit.returncode, 2, audit.stdout + audit.stderr)

    def test_audit_finds_missing_rows(self):
        self.put(100)
        self.check_nothing_lost()
        self.server.query("ALTER TABLE test.kept DELETE WHERE number = 50")
        deadline = time.monotonic() + 10
        while self.held("kept")[0] == 100:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        audit = self.recorder.run("coldpath", "audit")
        self.assertEqual(audit.returncode, 2, audit.stdout + audit.stderr)
        self.assertIn(b"1 missing", audit.stdout)

    def test_killed(self):
        for _ in range(4):
            self.put(2000)
            self.server.end(signal.SIGKILL)
            self.put(500)
            self.server.start()
        self.put(100)
        self.check_nothing_lost(twice=True)

    def test_killed_recorder(self):
        for _ in range(4):
            self.put(1000)
            self.recorder.stop(signal.SIGKILL)
            self.recorder.start()
        self.check_nothing_lost(twice=True)

    def refused(self, code, words, **clickhouse):
        """With these credentials nothing arrives, and log and status say why; with the right ones all does."""
        self.recorder.stop()
        self.configure(**clickhouse)
        self.recorder.start()
        self.put(100)
        self.wait_log(f"code={code} ", "class=park_endpoint", words)
        deadline = time.monotonic() + 5
        while not any(f"Code: {code}" in reason for reason in self.recorder.status()["reasons"]):
            self.assertLess(time.monotonic(), deadline, self.recorder.status())
            time.sleep(0.05)
        self.assertEqual(self.recorder.run("coldpath", "status").returncode, 2)
        self.assertEqual(self.held("kept")[0] + self.held("passing")[0], 0)
        self.assertEqual(self.recorder.stop(), 0)
        self.configure(user="recorder", password="right")
        self.recorder.start()
        self.check_nothing_lost()

    def test_unknown_user(self):
        self.refused(192, "check user and password", user="nobody")

    def test_wrong_password(self):
        self.refused(193, "check user and password", password="wrong")

    def test_read_only_user(self):
        self.refused(164, "forbids", user="reader")

    @unittest.skipIf(os.geteuid() != 0, "mounting a small file system needs root")
    def test_full_disk(self):
        self.server.stop()
        disk = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-disk-"))
        self.addCleanup(shutil.rmtree, disk, ignore_errors=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "coldpath-test", disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f"no small file system here: {mounted.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.recorder.close()
        self.use(disk / "data")
        self.put(100)
        self.check_nothing_lost()
        filler = disk / "filler"
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(65536))
                    file.flush()
            except OSError:
                pass
        self.put(2000, "no room for this")
        self.wait_log("insert failed, will be sent again", "table=kept", timeout=20)
        self.assertFalse(self.recorder.status()["healthy"])
        print(next(line for line in self.recorder.read_log().splitlines() if "insert failed" in line), file=sys.stderr)
        filler.unlink()
        self.check_nothing_lost(twice=True)


if __name__ == "__main__":
    if not server_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
