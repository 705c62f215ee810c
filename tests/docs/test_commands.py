"""Every command that README and docs tell to type (documents.py says what that is) is executed: here, on a host of the test's own with
one engine, in an order in which they build on each other; by test_install.py, what installs and starts units; or by another
test, which ELSEWHERE and GUIDES name. What cannot be run in a container as it stands is run as the nearest thing that can, and the place
says so. A command that none of them executes fails, and so does one here that no document has any more."""

import datetime
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import unittest
import urllib.request

from documents import SOURCE
from host import Host, wait_until
from tests.support.chdb import SKIP, build_dir, engine_present

# Command: the test that executes it, and what stands there.
ELSEWHERE = {
    "coldpath bench put": ("tests/cli/test_json.py", '"bench put", '),
    "coldpath bench put --seconds 10": ("tests/cli/test_json.py", '"bench put", '),
    "coldpath bench encode": ("tests/cli/test_json.py", '"bench encode", '),
    "coldpath bench e2e": ("tests/cli/test_json.py", '"bench e2e"'),
    "coldpath bench ship": ("tests/cli/test_json.py", '"bench ship"'),
    "coldpath bench wal": ("tests/cli/test_json.py", '"bench wal", '),
    "coldpath bench recover": ("tests/cli/test_json.py", '"bench recover", '),
    "coldpath maintain --cluster NAME": ("tests/integration/test_cluster.py", '("maintain", "--cluster", "pair", "--json")'),
    "coldpath schema apply --cluster NAME": ("tests/integration/test_cluster.py", '"--cluster", "pair", "--json"'),
    "coldpath schema apply --cluster NAME --dry-run": ("tests/integration/test_cluster.py", '"apply", "--dry-run"'),
    "coldpath schema apply --cluster main": ("tests/integration/test_cluster.py", '"--cluster", "pair", "--json"'),
    "coldpath schema diff --cluster NAME": ("tests/integration/test_cluster.py", '"diff"'),
    "coldpath import wal": ("tests/python/test_moving.py", "moving-from-an-asyncio-recorder.md"),
    "coldpath import wal DIRECTORY": ("tests/python/test_moving.py", "moving-from-an-asyncio-recorder.md"),
    "pip install ./python": ("tests/python/test_pip.py", '"install", "--no-index", "./python"'),
    "python3 -m venv venv": ("tests/python/test_pip.py", 'run(python, "-m", "venv", '),
    "promtool check metrics": ("tests/monitor/test_monitor.py", '["promtool", "check", "metrics"]'),
}
INSTALL = (SOURCE / "tests/docs/test_install.py").read_text()  # those that stand there, in quotes
# Documents all of whose blocks of shell another test runs, in their order.
GUIDES = {"moving-from-ch-writer.md": "tests/python/test_moving.py", "moving-from-an-asyncio-recorder.md": "tests/python/test_moving.py"}

TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def rows(table, count, day="2026-02-25", first=0):
    """Rows of that day, a millisecond apart, of two symbols, with ids from first."""
    for n in range(first, first + count):
        at = f"{day}T10:00:{n // 1000:02}.{n % 1000:03}Z"
        symbol = "BTCUSDT" if n % 2 else "ETHUSDT"
        row = {"quotes": {"recv_ts": at, "symbol": symbol, "update_id": n, "bid_px": "1.5", "ask_px": "1.6"},
               "trades": {"recv_ts": at, "exch_ts": at, "symbol": symbol, "trade_id": n, "price": "1.5", "qty": "1"},
               "orders": {"ts": at, "symbol": symbol, "order_id": str(n), "side": "BUY", "price": "1.5", "qty": "1"},
               "obf_universe": {"ts": at, "symbol": symbol, "best_bid": 1.5}, "acb_state": {"ts": at, "boost": 1}}[table]
        yield json.dumps(row) + "\n"


class Commands(unittest.TestCase):
    """Its tests go by their numbers."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.host = Host(build_dir())
        cls.addClassCleanup(cls.host.remove)
        for path in cls.host.moved.values():
            pathlib.Path(path).mkdir(parents=True)
        (cls.host.there / "password").write_text("a password of the test\n")
        (cls.host.there / "password").chmod(0o600)
        # embedded.md's line, on a free port: the engine of all that follows.
        cls.engine = cls.host.start("coldpath-chdb --port 8123 --path data --password-file password", more="--port-file port", swap={"8123": "0"})
        port = cls.port(cls.engine, "port")
        cls.url = f"http://127.0.0.1:{port}"
        cls.host.environment |= {"COLDPATH_CLICKHOUSE__URL": cls.url, "COLDPATH_CLICKHOUSE__PASSWORD_FILE": str(cls.host.there / "password")}

    @classmethod
    def tearDownClass(cls):
        cls.engine.stop()

    @classmethod
    def port(cls, engine, name):
        path = cls.host.there / name
        wait_until(lambda: path.exists() and path.read_text().strip() or engine.process.poll() is not None, f"{name}: {engine.said()}")
        return int(path.read_text())

    def query(self, sql):
        return self.host.shell(f"coldpath query \"{sql}\"").stdout.split("\n", 1)[-1].split()

    def status(self):
        return json.loads(self.host.shell("coldpath status --json", (0, 2, 69)).stdout)

    def table(self, name):
        return next(table for table in self.status()["tables"] if table["table"] == name)

    def put(self, table, count, **options):
        (self.host.there / "put.jsonl").write_text("".join(rows(table, count, **options)))
        self.host.shell(f"coldpath put {table} < put.jsonl")

    def configure(self, **more):
        ddl = str(SOURCE / "schema/ddl")
        settings = {"namespace": "market", "wal": {"dir": self.host.path("/var/lib/coldpath"), "segment_size": "8MiB", "keep": "1h"},
                    "clickhouse": {"retry_min": "10ms", "retry_max": "100ms"},
                    "canary": {"interval": "100ms"}, "monitor": {"listen": "127.0.0.1:0"},
                    "table_defaults": {"ring_size": "1MiB", "flush": {"interval": "20ms"}},
                    "tables": {"quotes": {"pressure": {"rungs": ["suppress", "conflate", "drop"], "key": ["symbol"], "value": ["bid_px"]}},
                               "trades": {"class": "critical", "wal_limit": "64MiB", "ddl": f"{ddl}/trades.sql"},
                               "orders": {"class": "critical", "wal_limit": "64MiB", "ddl": f"{ddl}/trading/orders.sql"}, "obf_universe": {}, "acb_state": {},
                               "recorder_canary": {"ring_size": "64KiB", "slots": 1}, "recorder_events": {"ring_size": "64KiB", "slots": 1}}}
        (self.host.work / "etc/coldpath/coldpath.yaml").write_text(json.dumps(settings | more))

    def test_1_readme(self):
        block = next(text for text in self.host.documented if text.startswith("printf 'namespace: demo"))
        # status exits 69: no recorder runs. All before it must have succeeded.
        said = self.host.run(block, codes=(69,), said=r"quotes\s.*\b1\b")
        self.assertIn("\nok\n", "\n" + said)
        second = self.host.start("build/bin/coldpath-chdb --port 8123", more="--port-file second", swap={"8123": "0"})
        url = f"http://127.0.0.1:{self.port(second, 'second')}"
        with urllib.request.urlopen(f"{url}/ping", timeout=30) as answer:
            self.assertEqual(answer.read(), b"Ok.\n")
        self.host.run("coldpath bench ship --compression none --url …", more="--rounds 1 --rows 2000", swap={"…": url})
        self.assertEqual(second.stop(), 0)
        self.host.run("build/bin/coldpath init --config demo.yaml")
        recorder = self.host.start("build/bin/coldpathd --config demo.yaml", said='msg="ready"')
        wait_until(lambda: "BTCUSDT" in self.host.run("build/bin/coldpath query --config demo.yaml 'SELECT * FROM quotes'"), "the row")
        self.assertEqual(recorder.stop(), 0)

    def test_2_before_a_recorder(self):
        self.configure()
        there = self.host.there
        for name in ("A", "B"):
            (there / name).write_text(f"namespace: {name.lower()}\ntables: {{quotes: {{}}}}\n")
        self.host.run("coldpath check", codes=(0, 2), said=r"coldpath\.yaml")  # 2: this host is tight
        self.host.run("coldpath check A B", codes=(0, 2))
        self.host.run("coldpath check --values", codes=(0, 2), said=r"namespace.*market")
        self.host.run("coldpath check --origin", codes=(0, 2), said=r"url: http.*\$COLDPATH_CLICKHOUSE__URL")
        self.host.run("coldpath schema show quotes", said="CREATE TABLE")
        self.host.run("coldpath schema show TABLE", swap={"TABLE": "trades"}, said="buyer_is_maker")
        self.host.run("coldpath schema gen quotes", said="typedef struct")
        self.host.run("coldpath schema gen", more="trades --as c++", said="trades")
        (there / "ddl").mkdir()
        (there / "ddl/quotes_v2.sql").write_text((SOURCE / "schema/ddl/quotes.sql").read_text().replace(
            "    _cp_epoch", "    depth UInt32,\n    _cp_epoch", 1))
        self.host.run("coldpath schema gen ddl/quotes_v2.sql", said="uint32_t depth;")
        self.host.run("coldpath schema diff", codes=(2,))
        self.host.run("coldpath schema apply --dry-run", said="CREATE TABLE")
        self.host.run("coldpath schema apply")
        self.host.run("coldpath init")
        self.host.run("COLDPATH_CLICKHOUSE__URL=http://ch-b:8123 coldpath init", swap={"http://ch-b:8123": self.url.replace("127.0.0.1", "localhost")})
        self.host.run("coldpath status", codes=(69,), said="no recorder runs")
        self.host.run("coldpath doctor", codes=(0, 2))
        self.host.run("coldpath-chdb --help", said="--password-file")
        self.host.run("coldpath help", said="quarantine")
        self.host.run("coldpath VERB --help", swap={"VERB": "put"}, said="--best-effort")

    def test_3_a_recorder(self):
        there = self.host.there
        recorder = self.__class__.recorder = self.host.start("coldpathd", said='msg="ready"')
        (there / "rows.jsonl").write_text("".join(rows("quotes", 100)))
        self.host.run("coldpath put quotes < rows.jsonl")
        self.host.run("coldpath put", more="quotes rows.jsonl --best-effort")
        for table, day in (("quotes", "2026-02-28"), ("trades", str(TODAY)), ("orders", str(TODAY)), ("obf_universe", str(TODAY)), ("acb_state", str(TODAY))):
            self.put(table, 50, day=day)
        self.host.run("coldpath flush")
        self.host.run("coldpath flush --wait")
        self.host.run("coldpath status", said="exactly once")
        self.host.run("coldpath audit", codes=(0, 2))  # 2: tables without provenance columns are counted while the canary's are under way
        self.host.run("coldpath audit TABLE", swap={"TABLE": "quotes"})
        self.host.run("coldpath query 'SELECT 1'", said="1")
        self.host.run("coldpath query \"SELECT …\"", swap={"SELECT …": "SELECT count() FROM quotes"}, said=r"\b250\b")
        (there / "count.sql").write_text("SELECT count() FROM trades")
        self.host.run("coldpath query", more="< count.sql", said=r"\b50\b")
        wait_until(lambda: int(self.query("SELECT count() FROM recorder_canary WHERE delivered_us > 0")[0]) > 0, "a canary that tells of an earlier one")
        self.host.run('coldpath query "SELECT toStartOfHour(ts) AS hour, quantile(0.99)(delivered_us) / 1e3 AS ms FROM recorder_canary GROUP BY hour ORDER BY hour"',
                    said=r"hour\s+ms\n\d{4}-")
        self.host.run("coldpath errors")
        self.host.run("coldpath errors --codes", said=r"\| 60 \| ")
        self.host.run("coldpath tables", said="quotes")
        self.host.run("lslocks", said=r"coldpathd +%d " % recorder.process.pid)
        self.host.run("coldpath latency", said="quotes")
        self.host.run("coldpath export quotes --from 2026-02-25 --to 2026-03-01 --dir cold")
        self.assertEqual({path.name for path in (there / "cold").iterdir()}, {"2026-02-25.parquet", "2026-02-28.parquet"})
        self.host.run("coldpath export TABLE", more="--from 2026-02-25 --dir cold2", swap={"TABLE": "quotes"})
        self.host.run("coldpath latest acb_state", said="boost")
        self.host.run("coldpath latest obf_universe --by symbol --output warm.jsonl")
        self.assertEqual(len((there / "warm.jsonl").read_text().splitlines()), 2)
        for options in ("", " --yes", " --yes --confirm=orders"):
            self.host.run("coldpath maintain" + options)
        self.host.run("coldpath monitor --once", said="recorder_up 1")
        self.look()
        self.host.run("kill -HUP PID", swap={"PID": str(recorder.process.pid)})
        recorder.wait_said("SIGHUP|configuration")
        self.host.run("coldpath reload")

    def look(self):
        """What goes on until it is stopped."""
        monitor = self.host.start("coldpath monitor", more="--listen 127.0.0.1:0", said=r"http://[\d.:]+")
        address = re.search(r"http://[\d.:]+", monitor.said())[0]
        with urllib.request.urlopen(f"{address}/readyz", timeout=30) as answer:
            self.assertEqual(answer.status, 200)
        self.assertEqual(monitor.stop(), 0)
        tail = self.host.start("coldpath tail TABLE", swap={"TABLE": "quotes"})
        wait_until(lambda: self.put("quotes", 1) or "ETHUSDT" in tail.said(), "a row as it passes")
        tail.stop()
        self.top()

    def top(self):
        """On a terminal, until q."""
        master, slave = pty.openpty()
        shown = subprocess.Popen(["bash", "-c", f"exec {self.host.note('coldpath top')}"], cwd=self.host.there, env=self.host.environment | {"TERM": "xterm"},
                                 stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        text = ""
        while "quotes" not in text:
            text += os.read(master, 65536).decode(errors="replace")
        os.write(master, b"q")
        threading.Thread(target=self.drain, args=(master,), daemon=True).start()
        self.assertEqual(shown.wait(60), 0)

    @staticmethod
    def drain(master):
        try:
            while os.read(master, 65536):
                pass
        except OSError:
            os.close(master)

    def test_4_steering(self):
        self.host.run("coldpath pause TABLE", swap={"TABLE": "quotes"})
        self.assertRegex(self.host.shell("coldpath status", (2,)).stdout, "quotes: paused")
        self.host.run("coldpath resume TABLE", swap={"TABLE": "quotes"})
        self.host.run("coldpath pause", more="trades")
        self.host.run("coldpath pause all")
        self.host.run("coldpath resume", more="all")
        for rung in ("suppress", "conflate", "drop", "auto"):
            self.host.run(f"coldpath degrade TABLE {rung}", swap={"TABLE": "quotes"})
        self.host.run("coldpath degrade", more="quotes none")
        self.host.run("coldpath rotate TABLE", swap={"TABLE": "trades"})
        self.host.run("coldpath rotate")
        self.host.run("coldpath wal ls", said="trades")
        self.host.run("coldpath wal ls TABLE", swap={"TABLE": "trades"}, said="trades")
        self.host.run("coldpath wal verify")
        self.host.run("coldpath wal dump", more="trades")

    def test_5_refused_rows(self):
        self.host.shell('coldpath query "ALTER TABLE obf_universe ADD CONSTRAINT sound CHECK best_bid > 2"')
        self.put("obf_universe", 1)
        wait_until(lambda: self.table("obf_universe")["rows_quarantined"] == 1, "a row in the quarantine")
        self.host.run("coldpath quarantine ls", said="obf_universe")
        self.host.run("coldpath quarantine", more="ls", said="obf_universe")
        self.host.run("coldpath quarantine show", more="obf_universe", said="sound")
        self.host.run("coldpath quarantine show TABLE", swap={"TABLE": "obf_universe"}, said="sound")
        self.host.run("coldpath quarantine retry", more="obf_universe", codes=(1,))
        self.host.run("coldpath quarantine retry TABLE", swap={"TABLE": "obf_universe"}, codes=(1,))
        self.host.run("coldpath quarantine drop TABLE --yes --confirm=TABLE", swap={"TABLE": "obf_universe"})
        self.host.shell('coldpath query "ALTER TABLE obf_universe DROP CONSTRAINT sound"')

    def test_6_old_spool(self):
        """Of which a page is damaged."""
        spool = self.host.there / "FILE"
        connection = sqlite3.connect(spool, isolation_level=None)
        connection.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, table_name TEXT NOT NULL, payload TEXT NOT NULL, "
                           "created_ts_us INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO queue (table_name, payload, created_ts_us) VALUES ('acb_state', ?, 0)",
                               [(row,) for row in rows("acb_state", 2000, day=str(TODAY))])
        connection.execute("COMMIT")
        connection.close()
        with open(spool, "r+b") as file:
            file.seek(4096 * 10)
            file.write(b"\xff" * 4096)
        self.host.run("sqlite3 FILE .dump | sed 's/^ROLLBACK.*/COMMIT;/' | sqlite3 NEW")
        self.host.run("coldpath import spool FILE", swap={"FILE": "NEW"})
        self.host.executed |= {"coldpath import spool", "coldpath import"}
        self.assertGreater(int(self.query("SELECT count() FROM acb_state")[0]), 1500)

    def test_7_logs(self):
        """Rows that wait in a log, with and without a recorder."""
        self.assertEqual(self.recorder.stop(), 0)
        recorder = self.host.background("coldpathd", COLDPATH_MODE="disabled")
        recorder.wait_said('msg="ready"')
        self.put("trades", 20, first=1000)
        wait_until(lambda: self.table("trades")["rows_in_log"] == 20, "rows in the log")
        self.assertEqual(recorder.stop(), 0)

        tomorrow = str(TODAY + datetime.timedelta(days=1))
        self.host.run("coldpath purge TABLE --before 2026-11-21", swap={"TABLE": "trades", "2026-11-21": tomorrow}, codes=(2,), said="20")
        self.host.run("coldpath purge TABLE --before …", swap={"TABLE": "trades", "…": tomorrow}, codes=(2,))
        self.host.executed.add("coldpath purge")
        self.host.run("coldpath wal repair", more="trades")
        self.host.run("coldpath wal repair TABLE", swap={"TABLE": "trades"})
        self.host.run("coldpath purge --before", more=f"{tomorrow} trades", codes=(2,))
        self.host.run("coldpath replay --offline")
        self.assertEqual(self.table("trades")["rows_in_log"], 0)
        dump = self.host.run("coldpath wal dump TABLE --range 1-", swap={"TABLE": "trades"})
        first, *_, last = [line.split()[0] for line in dump.splitlines()[1:]]
        self.host.shell('coldpath query "TRUNCATE TABLE trades"')  # a backup of before the first row
        self.host.run("coldpath replay --offline --table TABLE --range LO-HI", swap={"TABLE": "trades", "LO-HI": f"{first}-{last}"})
        self.assertEqual(self.query("SELECT count() FROM trades"), ["70"])
        recorder = self.host.background("coldpathd", COLDPATH_MODE="wal_first")
        recorder.wait_said('msg="ready"')
        self.put("trades", 20, first=2000)
        self.host.run("coldpath replay")
        follower = self.host.start("coldpath replay --follow")
        self.put("trades", 20, first=3000)
        wait_until(lambda: self.query("SELECT count() FROM trades") == ["110"], "rows that are replayed")
        self.assertEqual(follower.stop(), 0)
        self.assertEqual(recorder.stop(), 0)

    def test_8_tools(self):
        """What is typed beside a recorder."""
        host, there = self.host, self.host.there
        host.run("build/bin/simulate --seed S --trace", more="| tail -n 1", swap={"S": "1"}, said="no violation",
                 COLDPATH_REGION_DIR="", COLDPATH_CONFIG="", COLDPATH_CLICKHOUSE__URL="", COLDPATH_CLICKHOUSE__PASSWORD_FILE="")
        # Nobody else's file: only then may a monitor have it.
        host.run("openssl rand -hex 32 > monitor.token")
        refused = host.shell("coldpath monitor --listen 127.0.0.1:0 --token-file monitor.token", (74,))
        self.assertIn("everyone can read it", refused.stderr)
        host.run("chmod o= FILE", swap={"FILE": "monitor.token"})
        monitor = host.background("coldpath monitor --listen 127.0.0.1:0 --token-file monitor.token")
        address = monitor.wait_said(r"http://[\d.:]+")[0]
        request = urllib.request.Request(f"{address}/metrics", headers={"Authorization": f"Bearer {(there / 'monitor.token').read_text().strip()}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.assertIn(b"recorder_up 0", answer.read())
        self.assertEqual(monitor.stop(), 0)

    def test_8_tuning(self):
        """A recorder on one CPU, with rings that can lie on huge pages, and do where this host lets a file system with them be mounted."""
        host = self.host
        mounted = host.work / "huge"
        mounted.mkdir()
        command = host.note("mount -o remount,huge=within_size /dev/shm", swap={"mount -o remount,": "mount -t tmpfs -o size=64m,", "/dev/shm": f"tmpfs {mounted}"})
        has_huge_pages = subprocess.run(command.split(), capture_output=True, check=False, timeout=60).returncode == 0
        try:
            self.tuned(mounted, has_huge_pages)
        finally:
            if has_huge_pages:
                subprocess.run(["umount", "--lazy", mounted], check=True, timeout=60)

    def tuned(self, mounted, has_huge_pages):
        host = self.host
        (host.there / "tuned.yaml").write_text(json.dumps({"namespace": "tuned", "region": {"dir": f"{mounted}/r"}, "tables": {"quotes": {
            "ring_size": "8MiB", "slots": 1}}, "recorder": {"drain_cpu": 0, "flush_cpu": 0, "stop_timeout": "0s"}}))
        place = {"COLDPATH_REGION_DIR": "", "COLDPATH_CONFIG": str(host.there / "tuned.yaml"), "COLDPATH_CLICKHOUSE__URL": "http://127.0.0.1:9"}
        host.shell("coldpath init --no-tables", **place)
        recorder = host.background("coldpathd", **place)
        recorder.wait_said('msg="ready"')
        said = host.run("grep -H Cpus_allowed_list /proc/PID/task/*/status", swap={"PID": str(recorder.process.pid)})
        self.assertEqual(len(re.findall(r"\s0$", said, re.M)), 2, said)
        put = host.background("coldpath put quotes < /dev/zero", **place)  # which is no row, and never ends
        maps = pathlib.Path(f"/proc/{put.process.pid}/maps")
        ring = wait_until(lambda: re.search(r"^(\w+)-\w+ rw-s 00000000 .*quotes\.0\.ring", maps.read_text(), re.M), "a mapped ring")
        self.assertEqual(int(ring[1], 16) % (2 << 20), 0)
        said = host.run("grep ShmemPmdMapped /proc/PID/smaps", swap={"PID": str(put.process.pid)})
        if has_huge_pages:
            self.assertRegex(said, r"[1-9]\d* kB")
        put.stop(signal.SIGKILL)  # in the midst of a line
        recorder.stop()

    def test_8_two_users(self):
        """configuration.md's directories of two users, who are here numbers; without root both are whoever runs this."""
        host = self.host
        block = next(text for text in host.documented if text.startswith("install -d -m 0755 /dev/shm/coldpath"))
        swap = {}
        for user, number in (("dolphin", 65534), ("violet", 54321)):
            (host.there / f"{user}.yaml").write_text(f"namespace: {user}\ntables: {{quotes: {{}}}}\n")
            number = number if os.getuid() == 0 else os.getuid()
            group = number if os.getuid() == 0 else os.getgid()
            swap[re.search(rf"-o {user} +-g {user}", block)[0]] = f"-o {number} -g {group}"
        host.run(block, swap=swap, codes=(0, 2))
        self.assertEqual(pathlib.Path(host.path("/dev/shm/coldpath"), "violet").stat().st_mode & 0o777, 0o700)

    def test_8_five_databases(self):
        """Two of them; all five have their tables made in tests/integration/test_schema.py."""
        loop = self.host.note(next(text for text in self.host.documented if text.startswith("for db in dolphin")),
                              swap={"dolphin dolphin_green dolphin_prodgreen dolphin_pink dolphin_violet": "dolphin dolphin_violet"})
        ready = " && ".join(f"until COLDPATH_NAMESPACE={name} coldpath status --config deploy/dolphin.yaml | grep -q '^recorder *running'; do sleep 0.1; done"
                            for name in ("dolphin", "dolphin_violet"))
        self.host.shell(f"trap 'kill $(jobs -p); wait' EXIT\n{loop}\n{ready}", COLDPATH_WAL__SEGMENT_SIZE="8MiB",
                        COLDPATH_WAL__DIR=self.host.path("/var/lib/coldpath"), COLDPATH_TABLE_DEFAULTS__RING_SIZE="64KiB")

    def test_8_tests_run(self):
        """As far as the tests that it would run: they would be this one, too."""
        host = self.host
        (host.there / "build").rename(host.there / "built")  # whose lock the tests/run that runs this may hold
        for name in ("cmake", "apt-get", "sleep"):
            host.program(name, "#!/bin/sh\nexit 0\n")
        host.program("sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n')
        host.program("ctest", f'#!/bin/sh\n[ "$1" = --preset ] && shift 2\n{shutil.which("ctest")} --test-dir {build_dir()} -N "$@"\n'
                     'echo "100% tests passed, 0 tests failed out of none"\n')
        for command in sorted(host.documented):
            words = command.split()
            if words[0].endswith("tests/run"):
                swap = {old: new for old, new in ((" N ", " 1 "), ("--seed S", "--seed 1")) if old in command}
                host.run(command, swap=swap, said="" if "--build-only" in words else r"Total Tests: [1-9]")
        for name in ("cmake", "apt-get", "sleep", "sudo", "ctest"):
            (host.bin / name).unlink()
        shutil.rmtree(host.there / "build")
        (host.there / "built").rename(host.there / "build")

    def test_8_coverage(self):
        """Of one file instead of all."""
        host = self.host
        (host.there / "build-coverage").mkdir()
        (host.there / "build-coverage/main.c").write_text("#include <coldpath/error.h>\nint main(void) { return cp_strerror(0)[0] != 'o'; }\n")
        host.shell("cc --coverage -I. -Ibase/include -c base/error.c -o build-coverage/error.o && "
                   "cc -Ibase/include --coverage build-coverage/main.c build-coverage/error.o -o build-coverage/main && build-coverage/main")
        command = "python3 tests/support/coverage.py build-coverage"
        if shutil.which("gcovr"):
            host.run(command, said=r"base +\d+ +\d+\.\d%")
        else:  # deploy/debian-packages.txt has it for those who count
            host.note(command)
            host.shell("python3 tests/support/coverage.py --help")

    def test_9_every_command(self):
        for command, (path, needle) in ELSEWHERE.items():
            with self.subTest(command=command):
                self.assertIn(command, self.host.documented)
                self.assertIn(needle, (SOURCE / path).read_text())
        for guide, path in GUIDES.items():
            self.assertIn(guide, (SOURCE / path).read_text())
        left = {command: sorted(documents) for command, documents in self.host.documented.items()
                if command not in self.host.executed and command not in ELSEWHERE and f'"{command}"' not in INSTALL
                and not ("\n" in command and documents <= set(GUIDES))}
        self.assertEqual(left, {}, "no test executes these")


if __name__ == "__main__":
    if not engine_present() or not shutil.which("cc"):
        print("skipped: the embedded engine or a C compiler is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2, failfast=True)
