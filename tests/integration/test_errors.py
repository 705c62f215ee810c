"""`coldpath errors`: what the recorder warned of is there when it is dead, each kind once; --follow says what comes. No ClickHouse is needed:
that it is away is what is warned of."""

import json
import os
import selectors
import signal
import socket
import subprocess
import time
import unittest

from tests.support.recorder import Recorder

DDL = "CREATE TABLE {name} (id UInt64, at DateTime) ENGINE = MergeTree ORDER BY id"
DEADLINE = 60


class Errors(unittest.TestCase):
    def setUp(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        fast = {"clickhouse": {"retry_min": "5ms", "retry_max": "10ms", "connect_timeout": "100ms"}, "recorder": {"stop_timeout": "1s"}}
        self.recorder = Recorder(url, {"quotes_a": {"flush": {"interval": "10ms"}}}, extra=fast, init=False)
        self.addCleanup(self.recorder.close)
        ddl = self.recorder.work / "quotes_a.sql"
        ddl.write_text(DDL.format(name="quotes_a"))
        self.recorder.settings["tables"]["quotes_a"]["ddl"] = str(ddl)
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", "--no-tables", check=True)

    def errors(self, *args):
        done = self.recorder.run("coldpath", "errors", "--json", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def wait(self, what):
        end = time.monotonic() + DEADLINE
        while not (found := what()):
            self.assertLess(time.monotonic(), end, self.recorder.read_log()[-3000:])
            time.sleep(0.05)
        return found

    def named(self, message, *args):
        return next((error for error in self.errors(*args)["errors"] if error["message"] == message), None)

    def test_errors(self):
        done = self.recorder.run("coldpath", "errors")
        self.assertEqual((done.returncode, b"no recorder that keeps one has run" in done.stderr), (69, True), done.stderr)
        self.recorder.start()
        self.recorder.run("coldpath", "put", "quotes_a", input=b'{"id":1,"at":"2026-01-02 03:04:05"}\n', check=True)
        health = self.wait(lambda: self.named("ClickHouse's health"))
        self.assertEqual((health["level"], health["table"]), ("warning", None))
        self.assertIn("state=", health["detail"])
        # A command that is refused, many times: the log is limited, what is kept counts all.
        for _ in range(30):
            self.assertEqual(self.recorder.run("coldpath", "degrade", "quotes_a", "drop").returncode, 1)
        refused = self.named("command not possible", "--table", "quotes_a")
        self.assertEqual((refused["count"], refused["table"], refused["recorder_pid"]), (30, "quotes_a", self.recorder.process.pid))
        self.assertIn("no rung drop", refused["detail"])
        self.assertLess(self.recorder.read_log().count("command not possible"), 30)
        self.assertEqual(self.errors("--table", "quotes_b")["errors"], [])
        self.assertTrue(self.errors()["recorder_alive"])
        # Dead, and its successor goes on.
        self.recorder.stop(signal.SIGKILL)
        answer = self.errors()
        self.assertFalse(answer["recorder_alive"])
        self.assertEqual(self.named("command not possible"), refused)
        text = self.recorder.run("coldpath", "errors").stdout.decode()
        self.assertIn("warning  command not possible  table quotes_a  30 times since ", text)
        self.recorder.start()
        self.recorder.run("coldpath", "degrade", "quotes_a", "drop")
        self.assertEqual(self.named("command not possible")["count"], 31)
        # A text that is cut in the midst of a character, as a server's may be, is no reason for a document that nobody can parse.
        self.recorder.stop()
        kept = self.recorder.region / "errors"
        kept.write_bytes(kept.read_bytes().replace(b"no rung drop", "no r\u00fcng".encode() + b"\xff\xed\xa0\x80"))
        self.assertIn("no r\u00fcng????", self.named("command not possible")["detail"])

    def test_follow(self):
        self.recorder.start()
        follow = self.recorder.popen("coldpath", "errors", "--follow", "--json", stdout=subprocess.PIPE)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(follow.stdout, selectors.EVENT_READ)
                os.set_blocking(follow.stdout.fileno(), False)
                said = b""
                end = time.monotonic() + DEADLINE
                while b"command not possible" not in said:
                    self.assertLess(time.monotonic(), end, said)
                    if b"\n" in said:  # it has begun
                        self.recorder.run("coldpath", "degrade", "quotes_a", "conflate")
                    if selector.select(0.5):
                        said += follow.stdout.read() or b""
            lines = [json.loads(line) for line in said.splitlines() if line.endswith(b"}")]
            self.assertTrue(all(line["verb"] == "errors" for line in lines))
        finally:
            follow.terminate()
            follow.wait(20)
            follow.stdout.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
