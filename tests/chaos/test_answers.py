"""Each kind of bad answer on its own: the batch is kept and sent again, the same bytes under the same token; log and `coldpath
status` say what happened; the other table goes on; and every row arrives, once. Then the errors that the engine itself can be
brought to make, mended; and addresses at which there is no ClickHouse."""

import collections
import os
import sys
import tempfile
import time
import unittest

from tests.support.chaos import (CLOSE, COMPLETE, CUT, DRIP, JUNK, NEVER, NOTHING, OK, PART, RESET, WHOLE, ChaosProxy, Fault,
                                 answer, exception)
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

# What the server's error codes mean for a batch.
CODES = {
    "transient": (95, 96, 159, 173, 198, 201, 202, 203, 209, 210, 216, 225, 236, 241, 242, 243, 254, 265, 279, 285, 286, 364,
                  369, 373, 394, 416, 425, 439, 499, 519, 529, 999, 1000, 1001, 1002),
    "throttle": (252,),
    "in_doubt": (319,),
    "park_table": (7, 8, 9, 10, 15, 16, 20, 43, 44, 46, 47, 48, 50, 53, 60, 81, 122, 218, 342, 497),
    "park_endpoint": (62, 73, 115, 164, 192, 193, 194, 195, 217, 291, 381, 452, 471, 472, 512, 516),
    "malformed": (3, 32, 33, 40),
    "unknown": (1, 4711, 32000),
}
# Those that say which rows, or how many, are at fault: the batch goes on in pieces.
REFUSALS = {
    "poison": (6, 27, 38, 41, 69, 70, 72, 117, 128, 131, 190, 248, 321, 349, 376, 395, 407, 469),
    "split": (158, 307, 396),
}
TEXT = "the chaos proxy says so"


def said(code, status=500):
    return Fault("said", NOTHING, answer(status, exception(code, "SOME_ERROR", TEXT), code=code))


def status_only(status, headers=()):
    return Fault("status", NOTHING, answer(status, "<html>busy</html>", headers=headers))


OK_HEAD = b"HTTP/1.1 200 OK\r\n"
# name -> (fault, class, words in the log)
ANSWERS = {
    "200 with an exception header": (Fault("f", NOTHING, answer(200, exception(241, "M", TEXT), code=241)), "transient", TEXT),
    "200 with a bare exception header": (Fault("f", NOTHING, answer(200, "", code=241)), "transient", "Code: 241"),
    "200 with an exception header that is no number": (Fault("f", NOTHING, answer(200, "", code="what")), "in_doubt", "without"),
    "200 with an exception in the body": (Fault("f", NOTHING, answer(200, exception(60, "T", TEXT))), "park_table", TEXT),
    "200 with an exception behind a marker": (
        Fault("f", NOTHING, answer(200, f"12\r\n__exception__\r\n{exception(241, 'M', TEXT)}")), "transient", "12"),
    "200 with a body": (Fault("f", NOTHING, answer(200, "Welcome to the guest network")), "in_doubt", "guest network"),
    "200 cut in the head": (Fault("f", NOTHING, OK, CUT), "in_doubt", "cut off"),
    "200 after its first line": (Fault("f", NOTHING, OK_HEAD, CLOSE), "in_doubt", "cut off"),
    "200 without a length": (Fault("f", NOTHING, OK_HEAD + b"Connection: close\r\n\r\n", CLOSE), "in_doubt", "cut off"),
    "200 cut in the body": (Fault("f", NOTHING, answer(200, exception(241, "M")), CUT), "in_doubt", "remaining"),
    "200 cut in the chunks": (Fault("f", NOTHING, OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CLOSE), "in_doubt",
                              "outstanding"),
    "204": (Fault("f", NOTHING, b"HTTP/1.1 204 No Content\r\n\r\n"), "in_doubt", "204"),
    "100 and no more": (Fault("f", NOTHING, b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE), "in_doubt", "Empty reply"),
    **{f"{status}": (status_only(status), "transient", "busy") for status in (408, 429, 502, 503, 504)},
    **{f"{status}": (status_only(status), "park_endpoint", "busy") for status in (401, 403, 404, 407)},
    **{f"{status}": (status_only(status, ("Location: http://127.0.0.1:9/",)), "park_endpoint", "busy")
       for status in (301, 302, 303, 307, 308)},
    "500 without a code": (status_only(500), "in_doubt", "busy"),
    "400 without a code": (status_only(400), "unknown", "busy"),
    "500 after commit": (Fault("f", WHOLE, answer(500, "gone")), "in_doubt", "gone"),
    "reset before": (Fault("f", NOTHING, way=RESET), "in_doubt", ""),
    "reset in the body": (Fault("f", PART, way=RESET), "in_doubt", ""),
    "reset after commit": (Fault("f", WHOLE, way=RESET), "in_doubt", ""),
    "closed after commit": (Fault("f", WHOLE, b"", CLOSE), "in_doubt", "Empty reply"),
    "reply cut after commit": (Fault("f", WHOLE, way=CUT), "in_doubt", ""),
    "black hole": (Fault("f", NOTHING, way=NEVER), "in_doubt", "timed out"),
    "half open": (Fault("f", PART, way=NEVER), "in_doubt", "timed out"),
    "silence after commit": (Fault("f", WHOLE, way=NEVER), "in_doubt", "timed out"),
    "slow drip": (Fault("f", WHOLE, answer(200, "", headers=("X-Long: " + "x" * 500,)), DRIP), "in_doubt", "timed out"),
    "not HTTP": (Fault("f", NOTHING, JUNK), "park_endpoint", "HTTP/0.9"),
    "a length that is no number": (Fault("f", NOTHING, OK_HEAD + b"Content-Length: banana\r\n\r\n"), "in_doubt",
                                   "Content-Length"),
    "a header of 2 MB": (Fault("f", NOTHING, answer(200, "", headers=("X-Junk: " + "j" * 2_000_000,))), "transient", ""),
    "closed after the reply": (Fault("f", WHOLE, way=CLOSE), None, ""),
    "latency": (Fault("f", WHOLE, before=0.1, after=0.1), None, ""),
}
# Stored, but the reply does not say so: the recorder counts the rows, finds them, and sends nothing again.
COUNTED = ("500 after commit", "reply cut after commit", "silence after commit", "slow drip")
# Where a connection that was used before dies so, libcurl sends the request again by itself, a few times.
RESETS = ("reset before", "reset in the body", "reset after commit", "closed after commit")
SINK = {"retry_min": "5ms", "retry_max": "20ms", "connect_timeout": "500ms", "request_timeout": "700ms"}
DDL = """CREATE TABLE IF NOT EXISTS {name} (number UInt64, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY number SETTINGS non_replicated_deduplication_window = 1000"""
FLUSH = {"flush": {"interval": "10ms"}, "ring_size": "1MiB"}


class WithRecorder(unittest.TestCase):
    """Tables kept (critical), passing (lossy), witness; their rows are numbers."""

    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.addClassCleanup(cls.server.stop)

    def start(self, url, **extra):
        self.server.query("DROP DATABASE IF EXISTS test")
        self.recorder = Recorder(self.server, {}, extra={"clickhouse": SINK, "recorder": {"stop_timeout": "200ms"}} | extra)
        self.addCleanup(self.recorder.close)
        tables = {"kept": FLUSH | {"class": "critical", "wal_limit": "64MiB"}, "passing": FLUSH, "witness": FLUSH}
        for name in tables:
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            tables[name] = tables[name] | {"ddl": str(ddl)}
        self.recorder.settings |= {"tables": tables, "wal": {"dir": str(self.recorder.work / "wal"), "segment_size": "2MiB"}}
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", check=True)
        self.recorder.settings["clickhouse"]["url"] = url
        self.recorder.write_config()
        self.recorder.start()
        self.put_rows = collections.Counter()

    def put(self, table, count=3):
        first = self.put_rows[table]
        self.put_rows[table] += count
        self.recorder.run("coldpath", "put", table, "--format", "CSV", check=True,
                          input="".join(f"{n}\n" for n in range(first, first + count)).encode())

    def table_status(self, table):
        return next(entry for entry in self.recorder.status()["tables"] if entry["table"] == table)

    def wait_log(self, *words):
        """Until a line of the log has all the words."""
        deadline = time.monotonic() + 10
        while True:
            for line in self.recorder.read_log()[self.log_from:].splitlines():
                if all(word in line for word in words):
                    return line
            self.assertLess(time.monotonic(), deadline, f"no {words} in\n{self.recorder.read_log()[self.log_from:]}")
            time.sleep(0.01)

    def wait_unhealthy(self, *tables):
        """Until status gives a reason for each of the tables."""
        deadline = time.monotonic() + 5
        while True:
            status = self.recorder.status()
            if all(any(reason.startswith(f"{table}: ") for reason in status["reasons"]) for table in tables):
                break
            self.assertLess(time.monotonic(), deadline, status)
            time.sleep(0.02)
        self.assertFalse(status["healthy"])
        self.assertTrue(status["balanced"], status)
        return status

    def check_all_there(self):
        status = self.recorder.wait_delivered()
        self.assertTrue(status["balanced"], status)
        for table, rows in self.put_rows.items():
            held = self.server.query(f"SELECT count(), uniqExact(number) FROM test.{table}").split()
            self.assertEqual(held, [str(rows)] * 2, table)


class Answers(WithRecorder):
    def setUp(self):
        self.proxy = ChaosProxy(self.server.port).__enter__()
        self.addCleanup(self.proxy.__exit__)
        self.start(self.proxy.url)
        self.put("kept")
        self.recorder.wait_delivered()

    def refuse(self, table, fault, times):
        """The next `times` inserts of the table meet the fault."""
        left = [fault] * times
        self.proxy.plan = lambda request: left.pop() if request.table == table and left else None
        return left

    def once(self, table, fault, name, words, times=1):
        """One batch that meets the fault, until the log says so; the attempts at the insert."""
        self.log_from = len(self.recorder.read_log())
        seen = len(self.proxy.requests)
        left = self.refuse(table, fault, times)
        self.put(table)
        if name:
            self.wait_log("insert failed, will be sent again", f"table={table}", f"class={name}", words)
            self.proxy.calm()
        self.recorder.wait_delivered()
        self.assertLess(len(left), times)
        return [request for request in self.proxy.requests[seen:] if request.table == table]

    def check_resent(self, attempts):
        self.assertGreater(len(attempts), 1)
        self.assertEqual(len({(request.token, request.digest) for request in attempts}), 1, attempts)
        self.assertNotEqual(attempts[0].token, "")

    def test_every_answer(self):
        for name, (fault, cls, words) in ANSWERS.items():
            for table in ("kept", "passing"):
                with self.subTest(answer=name, table=table):
                    attempts = self.once(table, fault, cls, words, 100 if name in RESETS else 1)
                    if cls and name not in COUNTED:
                        self.check_resent(attempts)
                    else:
                        self.assertEqual(len(attempts), 1)
        self.check_all_there()

    def test_every_code(self):
        for cls, codes in CODES.items():
            for code in codes:
                with self.subTest(code=code):
                    self.check_resent(self.once("kept", said(code), cls, f"code={code} "))
                    self.assertIn(TEXT, self.table_status("kept")["last_error"])
        self.check_all_there()

    def check_in_pieces(self, table, fault, cls, words):
        """Refused once as a whole, the rows come in pieces with tokens of their own, and are taken."""
        self.log_from = len(self.recorder.read_log())
        seen = len(self.proxy.requests)
        self.refuse(table, fault, 1)
        self.put(table, 8)
        self.wait_log("insert refused, goes on in pieces", f"table={table}", f"class={cls}", words)
        self.recorder.wait_delivered()
        tokens = [request.token for request in self.proxy.requests[seen:] if request.table == table]
        self.assertGreater(len(tokens), 2)
        self.assertEqual(len(tokens), len(set(tokens)))
        self.assertTrue(all(token.startswith(tokens[0]) for token in tokens), tokens)
        self.assertEqual(self.table_status(table)["rows_quarantined"], 0)

    def test_refusals(self):
        for cls, codes in REFUSALS.items():
            for code in codes:
                with self.subTest(code=code):
                    self.check_in_pieces("kept", said(code), cls, f"code={code} ")
                    self.check_in_pieces("passing", said(code), cls, f"code={code} ")
        self.check_in_pieces("kept", status_only(413), "split", "busy")
        self.check_all_there()

    def test_codes_for_a_long_time(self):
        """While one table hears nothing else, the other's rows arrive, and status says whose fault it is."""
        for code in (60, 252, 319, 241, 516, 4711):
            with self.subTest(code=code):
                self.log_from = len(self.recorder.read_log())
                self.refuse("kept", said(code), 1_000_000)
                self.put("kept")
                self.wait_log("table=kept", f"code={code} ")
                before = int(self.server.query("SELECT count() FROM test.witness"))
                self.put("witness")
                deadline = time.monotonic() + 5
                while int(self.server.query("SELECT count() FROM test.witness")) == before:
                    self.assertLess(time.monotonic(), deadline, self.recorder.read_log()[self.log_from:])
                    time.sleep(0.01)
                reasons = self.wait_unhealthy("kept")["reasons"]
                self.assertTrue(any("kept" in reason and TEXT in reason for reason in reasons), reasons)
                self.assertEqual(self.recorder.run("coldpath", "status").returncode, 2)
                self.proxy.calm()
                self.recorder.wait_delivered()
        self.check_all_there()

    def test_a_probe_that_is_cut_short(self):
        """Half of the settings must not be taken for all: the insert would go without its token."""
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        lies = [Fault("f", NOTHING, head + b"26.7.1.1\nasync_insert\n", CLOSE),
                Fault("f", NOTHING, answer(200, f"26.7.1.1\nasync_insert\n__exception__\n{exception(241, 'M')}"))]
        self.recorder.stop()
        self.proxy.plan = lambda request: lies.pop() if not request.table and lies else None
        self.put("kept")
        self.recorder.start()
        self.recorder.wait_delivered()
        self.assertEqual(lies, [])
        self.assertNotEqual([request.token for request in self.proxy.requests if request.table][-1], "")
        self.check_all_there()


class Engine(WithRecorder):
    """Errors of the real engine, and how they are mended."""

    def broken_by(self, breaks, code, mends, cls, words):
        self.start(self.server.url)
        for table in ("kept", "passing"):
            self.put(table)
        self.recorder.wait_delivered()
        self.log_from = len(self.recorder.read_log())
        for table in ("kept", "passing"):
            for sql in breaks:
                self.server.query(sql.format(table=table))
            self.put(table)
        for table in ("kept", "passing"):
            self.wait_log(f"table={table}", f"code={code} ", f"class={cls}", words)
            self.assertIn(f"{code}", self.table_status(table)["last_error"])
        self.put("witness")
        deadline = time.monotonic() + 5
        while self.table_status("witness")["rows_delivered"] < 3:
            self.assertLess(time.monotonic(), deadline)
        self.recorder.restart()  # what waits, waits on
        for table in ("kept", "passing"):
            for sql in mends:
                self.server.query(sql.format(table=table))
        self.check_all_there()

    def test_a_table_that_is_missing(self):
        self.broken_by(["RENAME TABLE test.{table} TO test.{table}_away"], 60,
                       ["RENAME TABLE test.{table}_away TO test.{table}"], "park_table", "coldpath schema apply makes it")

    def test_a_column_that_is_missing(self):
        self.broken_by(["ALTER TABLE test.{table} DROP COLUMN _cp_slot"], 16,
                       ["ALTER TABLE test.{table} ADD COLUMN _cp_slot UInt16"], "park_table", "differ from its DDL")

    def test_a_column_of_another_type(self):
        self.broken_by(["ALTER TABLE test.{table} MODIFY COLUMN _cp_slot String SETTINGS mutations_sync = 1"], 53,
                       ["ALTER TABLE test.{table} MODIFY COLUMN _cp_slot UInt16 SETTINGS mutations_sync = 1"], "park_table",
                       "differ from its DDL")

    def test_too_many_parts(self):
        self.broken_by(["ALTER TABLE test.{table} MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1"], 252,
                       ["ALTER TABLE test.{table} MODIFY SETTING parts_to_throw_insert = 300, parts_to_delay_insert = 150"],
                       "throttle", "too many parts")


class NoClickHouse(WithRecorder):
    """Nothing arrives, nothing is lost; with the right address everything does."""

    def at(self, url, cls, words):
        self.log_from = 0
        self.start(url)
        for table in ("kept", "passing"):
            self.put(table)
        self.wait_log("ClickHouse does not answer", f"class={cls}", words)
        self.wait_log("ClickHouse does not answer", "attempt=3")
        self.wait_unhealthy("kept", "passing")
        self.recorder.stop()
        self.recorder.settings["clickhouse"]["url"] = self.server.url
        self.recorder.write_config()
        self.recorder.start()
        self.check_all_there()

    def test_a_name_that_nobody_knows(self):
        self.at("http://no-such-host.invalid:8123", "transient", "resolve")

    def test_nobody_listens(self):
        self.at("http://127.0.0.1:9", "transient", "connect")

    def test_no_tls(self):
        self.at(self.server.url.replace("http:", "https:"), "park_endpoint", "SSL")

    def test_another_http_server(self):
        plan = lambda request: Fault("f", NOTHING, answer(404, "nginx"))  # noqa: E731
        with ChaosProxy(self.server.port, plan) as proxy:
            self.at(proxy.url, "park_endpoint", "nginx")

    def test_a_login_page(self):
        plan = lambda request: Fault("f", NOTHING, answer(302, "", headers=("Location: /login",)))  # noqa: E731
        with ChaosProxy(self.server.port, plan) as proxy:
            self.at(proxy.url, "park_endpoint", "302")

    def test_a_black_hole(self):
        with ChaosProxy(self.server.port, lambda request: Fault("f", NOTHING, way=NEVER)) as proxy:
            self.at(proxy.url, "in_doubt", "timed out")


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
