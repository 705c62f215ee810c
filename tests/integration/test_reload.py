"""`coldpath reload` and SIGHUP: what can change while rows flow changes at once, all of it or nothing; what cannot is named; a
configuration that is not valid is refused with every problem's place, and the recorder goes on. Nothing is lost meanwhile."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

RELOAD_COUNT = 824  # where the control file has it
LAZY = {"interval": "60s", "rows": 200000, "bytes": "32MiB"}
TABLES = {
    "quotes": {"ring_size": "1MiB", "flush": LAZY},
    "trades": {"ring_size": "1MiB", "flush": LAZY, "class": "critical", "wal_limit": "64MiB"},
}


def quotes(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "venue": "test", "symbol": "A", "update_id": n,
                               "bid_px": "1", "bid_qty": "1", "ask_px": "2", "ask_qty": "1"}) + "\n"
                   for n in range(first, first + count)).encode()


def trades(first, count):
    return "".join(json.dumps({"recv_ts": 1_700_000_000_000_000_000 + n, "exch_ts": 1_700_000_000_000, "venue": "test",
                               "symbol": "A", "trade_id": n, "price": "1", "qty": "1", "buyer_is_maker": True}) + "\n"
                   for n in range(first, first + count)).encode()


class Reload(unittest.TestCase):
    def make(self, server=None, tables=TABLES, **extra):
        path = tempfile.TemporaryDirectory(prefix="coldpath-reload-")
        self.addCleanup(path.cleanup)
        self.server = server or self.make_server()
        settings = {"recorder": {"stop_timeout": "5s"}, "clickhouse": {"retry_min": "10ms", "retry_max": "100ms"}}
        for section, values in extra.items():
            settings[section] = settings.get(section, {}) | values
        self.recorder = Recorder(self.server, json.loads(json.dumps(tables)), extra=settings)
        self.addCleanup(self.recorder.close)
        self.recorder.__enter__()

    def make_server(self, **kwargs):
        path = tempfile.TemporaryDirectory(prefix="coldpath-reload-")
        self.addCleanup(path.cleanup)
        server = ChdbServer(path=path.name, **kwargs).start()
        server.args = ["--port", str(server.port)]
        self.addCleanup(server.stop)
        return server

    def put(self, table, first, count):
        rows = quotes(first, count) if table == "quotes" else trades(first, count)
        self.recorder.run("coldpath", "put", table, "--format", "JSONEachRow", input=rows, check=True)

    def held(self, server=None):
        return tuple(int((server or self.server).query(f"SELECT count() FROM test.{table}")) for table in TABLES)

    def reload(self, *args):
        """With --region: the recorder reads the file, this verb does not."""
        done = self.recorder.run("coldpath", "reload", "--json", "--region", str(self.recorder.region), *args)
        answer = json.loads(done.stdout) if done.stdout else None
        return done.returncode, answer, done.stderr.decode()

    def change(self, section, values):
        """Writes a changed configuration and reloads it."""
        self.recorder.settings[section] = {**self.recorder.settings.get(section, {}), **values}
        self.recorder.write_config()
        return self.reload()

    def change_table(self, table, values):
        self.recorder.settings["tables"][table].update(values)
        self.recorder.write_config()
        return self.reload()

    def test_batch_policy(self):
        self.make()
        self.put("quotes", 0, 100)
        self.put("trades", 0, 100)
        time.sleep(0.5)
        self.assertEqual(self.held(), (0, 0))
        self.assertEqual(self.reload()[:2], (0, {"schema_version": 1, "verb": "reload", "result": "applied",
                                                 "recorder_pid": self.recorder.process.pid, "applied": [],
                                                 "needs_restart": [], "all_listed": True, "error": None}))
        quick = {"flush": {"interval": "20ms"}}
        self.recorder.settings["tables"]["quotes"].update(quick)
        code, answer, said = self.change_table("trades", quick)
        self.assertEqual((code, answer["result"], answer["needs_restart"]), (0, "applied", []), said)
        keys = ("flush.bytes", "flush.interval", "flush.rows")
        self.assertEqual(sorted(answer["applied"]), [f"tables.{table}.{key}" for table in ("quotes", "trades") for key in keys])
        self.recorder.wait_delivered(20)
        self.assertEqual(self.held(), (100, 100))
        self.recorder.settings["tables"]["quotes"].update({"flush": LAZY})  # and back
        self.assertEqual(self.change_table("trades", {"flush": LAZY})[0], 0)
        self.put("quotes", 100, 100)
        self.put("trades", 100, 100)
        time.sleep(0.5)
        self.assertEqual(self.held(), (100, 100))
        self.assertEqual(self.recorder.stop(), 0)  # ships them
        self.assertEqual(self.held(), (200, 200))

    def test_a_larger_batch_is_read_again(self):
        """A batch as large as a reload allows, refused for one of its rows: the log is read again, all of it."""
        self.make(tables=TABLES | {"trades": TABLES["trades"] | {"flush": LAZY | {"rows": 10, "max_rows": 10}}})
        self.recorder.run("coldpath", "pause", "trades", check=True)
        self.server.query("ALTER TABLE test.trades ADD CONSTRAINT sound CHECK trade_id != 77")
        for first in range(0, 200, 20):  # a record of the log each
            self.put("trades", first, 20)
        self.assertEqual(self.change_table("trades", {"flush": LAZY | {"interval": "10ms"}})[0], 0)
        self.recorder.run("coldpath", "resume", "trades", check=True)
        status = self.recorder.wait_delivered(30)["tables"]
        self.assertEqual(self.held()[1], 199, self.recorder.read_log()[-3000:])
        self.assertEqual([table["rows_quarantined"] for table in status if table["table"] == "trades"], [1])

    def test_needs_restart(self):
        self.make()
        self.put("quotes", 0, 10)
        tables = self.recorder.settings["tables"]
        tables["quotes"].update({"slots": 3, "ring_size": "2MiB", "flush": {"max_bytes": "64MiB", "interval": "20ms"}})
        tables["l2_updates"] = {}
        code, answer, said = self.change("recorder", {"memory_limit": "64MiB", "poll": "busy"})
        self.assertEqual((code, answer["result"]), (2, "needs restart"), said)
        self.assertEqual(sorted(answer["needs_restart"]),
                         ["recorder.memory_limit", "tables.l2_updates", "tables.quotes.flush.max_bytes",
                          "tables.quotes.ring_size", "tables.quotes.slots"])
        self.assertIn("recorder.poll", answer["applied"])
        self.recorder.wait_delivered(20)
        text = self.recorder.run("coldpath", "reload", "--region", str(self.recorder.region))
        self.assertEqual(text.returncode, 2)
        self.assertIn("needs restart  tables.quotes.ring_size\n", text.stdout.decode())
        self.assertNotIn("recorder.poll", text.stdout.decode())  # holds already
        self.assertEqual(self.recorder.status()["recorder"]["last_reload"], "needs restart")
        self.assertIn("config      parts of it hold after a restart only",
                      self.recorder.run("coldpath", "status").stdout.decode())
        self.recorder.restart()
        code, answer, said = self.reload()
        self.assertEqual((code, answer["applied"], answer["needs_restart"]), (0, [], []), said)
        self.put("quotes", 10, 10)
        self.recorder.wait_delivered(20)
        self.assertEqual(self.held()[0], 20)

    def test_another_server(self):
        """ClickHouse has moved: rows that wait for the old one go to the new one."""
        self.make()
        other = self.make_server()
        other.query("CREATE DATABASE test")
        for table in TABLES:  # its tables
            other.query(self.server.query(f"SHOW CREATE TABLE test.{table} FORMAT TSVRaw"))
        self.server.end(signal.SIGKILL)
        self.recorder.settings["tables"]["quotes"]["flush"] = self.recorder.settings["tables"]["trades"]["flush"] = {"interval": "20ms"}
        code, answer, said = self.change("clickhouse", {"url": self.server.url})
        self.assertEqual(code, 0, said)
        self.put("quotes", 0, 100)
        self.put("trades", 0, 100)
        deadline = time.monotonic() + 20
        while self.recorder.status()["recorder"]["clickhouse"] != "down" and time.monotonic() < deadline:
            time.sleep(0.05)
        code, answer, said = self.change("clickhouse", {"url": other.url})
        self.assertEqual((code, answer["applied"]), (0, ["clickhouse.url"]), said)
        self.recorder.wait_delivered(20)
        self.assertEqual(self.held(other), (100, 100))
        self.assertEqual(self.recorder.status()["recorder"]["clickhouse"], "healthy")

    def test_password_file(self):
        """A password changed on the server: its file is written anew, a reload takes it, rows that waited for it arrive."""
        secret = pathlib.Path(tempfile.mkdtemp(prefix="coldpath-reload-")) / "password"
        self.addCleanup(shutil.rmtree, secret.parent)
        secret.write_text("right-word\n")
        secret.chmod(0o600)
        self.make(self.make_server(user="recorder", password="right-word"),
                  clickhouse={"user": "recorder", "password_file": str(secret), "retry_max": "60s"},
                  tables={name: table | {"flush": {"interval": "20ms"}} for name, table in TABLES.items()})
        secret.write_text("wrong-word\n")
        code, answer, said = self.reload()  # the file's name is the same, what it holds is not
        self.assertEqual((code, answer["applied"]), (0, ["clickhouse.password"]), said)
        self.put("quotes", 0, 100)
        self.put("trades", 0, 100)
        deadline = time.monotonic() + 20
        while self.recorder.status()["recorder"]["clickhouse"] != "down" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.held(), (0, 0))
        secret.chmod(0o644)
        secret.write_text("right-word\n")
        code, answer, said = self.reload()
        self.assertEqual((code, answer["result"]), (78, "refused"), said)
        self.assertIn("password", said)
        secret.chmod(0o600)
        self.assertEqual(self.reload()[0], 0)
        self.recorder.wait_delivered(20)  # at once: not after the long pause that a refused password asks for
        self.assertEqual(self.held(), (100, 100))
        for text in (self.recorder.read_log(), said, (self.recorder.region / "control").read_bytes().decode("latin-1")):
            self.assertNotIn("-word", text)

    def test_refused(self):
        self.make()
        self.put("quotes", 0, 10)
        before = self.recorder.config.read_text()
        broken = [
            ("namespace: test\nnonsense: 1\ntables:\n  quotes: {slots: 1000}\n", [":2:1: ", "nonsense", ":4:"]),
            ("tables: [", ["coldpath.yaml:"]),
            ("", ["namespace is missing"]),
            (before.replace('"1MiB"', '"3MiB"', 1), ["3MiB is not a power of two"]),
            (before.replace(self.server.url, "ftp://x"), ["http"]),
            (before.replace('"clickhouse": {', '"clickhouse": {"ca_file": "/nowhere/ca.pem",'), ["No such file"]),
        ]
        (self.recorder.work / "broken.sql").write_text("CREATE TABLE quotes (a Int32,, b Int32) ENGINE = MergeTree ORDER BY a")
        broken.append((before.replace('"quotes": {', f'"quotes": {{"ddl": "{self.recorder.work}/broken.sql",'), ["broken.sql:1:30"]))
        broken.append((before.replace('"quotes": {', '"quotes": {"ddl": "/nowhere.sql",'), ["there is no file /nowhere.sql"]))
        for text, words in broken:
            self.recorder.config.write_text(text)
            code, answer, said = self.reload()
            self.assertEqual((code, answer["result"]), (78, "refused"), (text, said))
            for word in words:
                self.assertIn(word, said, text)
            self.assertIn("the old one is kept", said)
        done = self.recorder.run("coldpath", "reload")  # finds the region by the file, and the same problems
        self.assertEqual(done.returncode, 78)
        self.recorder.config.unlink()
        code, answer, said = self.reload()
        self.assertEqual((code, answer["result"]), (78, "refused"))
        self.assertIn("coldpath.yaml", said)
        self.assertIn("configuration refused, the old one is kept", self.recorder.read_log())
        self.recorder.config.write_text(before)
        self.assertEqual(self.recorder.status()["recorder"]["last_reload"], "refused")
        self.assertEqual(self.reload()[0], 0)
        self.assertEqual(self.recorder.status()["recorder"]["last_reload"], "applied")
        self.assertEqual(self.recorder.run("coldpath", "flush", "--wait").returncode, 0)
        self.assertEqual(self.held()[0], 10)

    def test_log_level_and_signal(self):
        self.make()
        self.recorder.settings["log"] = {"level": "error"}
        self.recorder.write_config()
        self.recorder.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while 'msg="configuration changed" key=log.level' not in self.recorder.read_log() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.reload()[0], 0)
        seen = len(self.recorder.read_log())
        self.assertEqual(self.change("recorder", {"stop_timeout": "1s"})[0], 0)
        self.assertEqual(self.recorder.read_log()[seen:], "")
        self.assertIsNone(self.recorder.process.poll())

    def test_no_recorder(self):
        self.make()
        self.recorder.stop(signal.SIGKILL)
        code, _, said = self.reload()
        self.assertEqual(code, 69)
        self.assertIn("no recorder runs", said)
        with open(self.recorder.region / "control", "r+b") as control:  # as if it was killed in the middle of a reload
            control.seek(RELOAD_COUNT)
            count = struct.unpack("<Q", control.read(8))[0]
            control.seek(RELOAD_COUNT)
            control.write(struct.pack("<Q", count | 1))
        self.recorder.start()
        self.assertEqual(self.reload()[0], 0)

    def test_at_once(self):
        """Several at a time: each is told the outcome of a reload that began after it asked (the last one's, which may find that all
        has been applied by the one before)."""
        self.make()
        for round in range(5):
            self.recorder.settings["clickhouse"]["retry_min"] = f"{20 + round}ms"
            self.recorder.write_config()
            asked = [self.recorder.popen("coldpath", "reload", "--region", str(self.recorder.region), stdout=subprocess.PIPE)
                     for _ in range(6)]
            said = [process.communicate(timeout=60)[0].decode() for process in asked]
            self.assertEqual([process.returncode for process in asked], [0] * 6)
            self.assertEqual(set(said) - {"applied        clickhouse.retry_min\n", "nothing has changed\n"}, set())
        changed = 'msg="configuration changed" key=clickhouse.retry_min'
        self.assertEqual(self.recorder.read_log().count(changed), 5)

    def test_beside_traffic(self):
        """Reloads without a pause while rows flow and the server comes and goes: every row arrives, once."""
        quick = {"quotes": {"ring_size": "4MiB", "flush": {"interval": "10ms"}},
                 "trades": {"ring_size": "4MiB", "flush": {"interval": "10ms"}, "class": "critical", "wal_limit": "256MiB"}}
        self.make(tables=quick | {"l2_updates": {"ring_size": "16MiB", "flush": {"interval": "20ms"}}})
        market = self.recorder.popen("coldpath-market", "--region", str(self.recorder.region), "--synthetic", "--rate", "20000",
                                     "--seconds", "6", "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        reloads = 0
        killed = False
        begin = time.monotonic()
        while market.poll() is None:
            elapsed = time.monotonic() - begin
            if not killed and elapsed > 2:
                self.server.end(signal.SIGKILL)
                self.server.start()
                killed = True
            self.recorder.settings["tables"]["quotes"]["flush"] = {"interval": f"{10 + reloads % 7}ms", "rows": 100 + reloads}
            self.recorder.settings["tables"]["trades"]["flush"] = {"interval": f"{10 + reloads % 5}ms", "max_rows": 100000 + reloads}
            names = [self.server.url, self.server.url.replace("127.0.0.1", "localhost")]
            url = names.pop(reloads % 2)
            code, _, said = self.change("clickhouse", {"compression": ("none", "zstd")[reloads % 2], "retry_min": f"{10 + reloads % 9}ms",
                                                       "url": url, "abandoned": names})  # both are this server: it knows each token
            self.assertEqual(code, 0, said)
            reloads += 1
        put = json.loads(market.communicate()[0])
        self.assertGreater(reloads, 10)
        status = self.recorder.wait_delivered(60)
        self.assertTrue(status["balanced"], status)
        self.assertEqual(sum(table["rows_delivered"] for table in status["tables"]), sum(table["rows_put"] for table in status["tables"]))
        self.assertGreater(sum(table["rows_put"] for table in status["tables"]), 50000, put)
        done = self.recorder.run("coldpath", "audit")
        self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    os.umask(0o077)
    unittest.main(verbosity=2)
