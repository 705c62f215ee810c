"""`coldpath tail` and `coldpath latency`: rows are seen as they pass, before and after they are given back, with and without a recorder; who is
overtaken says by how many rows; how long they took is in the region afterwards."""

import json
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

DDL = """CREATE TABLE {name} (id UInt64, at DateTime, note String, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"""
DEADLINE = 60


def rows(first, count):
    return "".join(f'{{"id":{first + i},"at":"2026-01-02 03:04:05","note":"row {first + i}"}}\n' for i in range(count)).encode()


class Tail(unittest.TestCase):
    def setUp(self):
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)
        small = {"ring_size": "64KiB", "slots": 2, "flush": {"interval": "10ms"}}
        tables = {"lossy": {**small, "pressure": {"early_release": "off"}}, "critical": {**small, "class": "critical"}}
        self.recorder = Recorder(self.server, tables, init=False)
        self.addCleanup(self.recorder.close)
        for name in tables:
            ddl = self.recorder.work / f"{name}.sql"
            ddl.write_text(DDL.format(name=name))
            tables[name]["ddl"] = str(ddl)
        self.recorder.write_config()
        self.recorder.run("coldpath", "init", check=True)

    def put(self, table, first, count):
        self.recorder.run("coldpath", "put", table, "--timeout", "60s", input=rows(first, count), check=True)

    def tail(self, *args):
        done = self.recorder.run("coldpath", "tail", *args, "--json", timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_without_a_recorder(self):
        self.put("lossy", 0, 20)
        seen = self.tail("lossy", "--waiting", "-n", "20")
        self.assertEqual([line["row"]["id"] for line in seen], list(range(20)))
        self.assertEqual(seen[3]["row"], {"id": 3, "at": "2026-01-02 03:04:05", "note": "row 3"})
        self.assertEqual({(line["slot"], line["missed"]) for line in seen}, {(0, 0)})
        self.assertEqual([line["number"] for line in seen], list(range(seen[0]["number"], seen[0]["number"] + 20)))
        text = self.recorder.run("coldpath", "tail", "lossy", "--waiting", "-n", "1").stdout.decode()
        self.assertEqual(text, "id\tat\tnote\n0\t2026-01-02 03:04:05\trow 0\n")
        # A ring that is full to the brim is seen whole: nobody can write over it.
        self.recorder.run("coldpath", "put", "lossy", "--timeout", "0s", input=rows(20, 5000))
        waiting = next(table for table in self.recorder.status()["tables"] if table["table"] == "lossy")["rows_in_ring"]
        self.assertGreater(waiting, 500)
        seen = self.tail("lossy", "--waiting", "-n", str(waiting))
        self.assertEqual([line["row"]["id"] for line in seen], list(range(waiting)))
        self.assertEqual(self.recorder.run("coldpath", "tail", "lossie").returncode, 1)
        self.assertEqual(self.recorder.run("coldpath", "tail").returncode, 64)

    def test_wide_numbers(self):
        """Every digit, also of what fits into no 64 bits."""
        ddl = self.recorder.work / "lossy.sql"
        ddl.write_text(DDL.format(name="lossy").replace("note String", "note Decimal(38, 0)"))
        self.recorder.run("coldpath", "init", "--no-tables", check=True)
        wide = [10**38 - 1, -(2**63) - 1, 2**64, 0]
        put = "".join(f'{{"id":{i},"at":"2026-01-02 03:04:05","note":"{number}"}}\n' for i, number in enumerate(wide))
        self.recorder.run("coldpath", "put", "lossy", input=put.encode(), check=True)
        self.assertEqual([line["row"]["note"] for line in self.tail("lossy", "--waiting", "-n", str(len(wide)))], wide)

    def test_beside_a_recorder(self):
        self.recorder.start()
        tail = self.recorder.popen("coldpath", "tail", "critical", "--json", stdout=subprocess.PIPE)
        os.set_blocking(tail.stdout.fileno(), False)
        said, put = b"", 0

        def lines():
            return [json.loads(line) for line in said.split(b"\n")[:-1]]

        def read_until(what):
            """Reads, and puts a row now and then, until what is seen satisfies."""
            nonlocal said, put
            end = time.monotonic() + DEADLINE
            with selectors.DefaultSelector() as selector:
                selector.register(tail.stdout, selectors.EVENT_READ)
                while not what(lines()):
                    self.assertLess(time.monotonic(), end, said[-1000:])
                    self.put("critical", put, 1)
                    put += 1
                    if selector.select(0.2):
                        said += tail.stdout.read() or b""

        try:
            read_until(lambda seen: seen)  # it has begun
            tail.send_signal(signal.SIGSTOP)
            self.put("critical", put, 10000)  # several times round
            put += 10000
            tail.send_signal(signal.SIGCONT)
            read_until(lambda seen: any(line["missed"] for line in seen))
        finally:
            tail.terminate()
            tail.wait(20)
            tail.stdout.close()
        seen = lines()
        self.assertEqual(seen[-1]["number"] - seen[0]["number"] + 1, len(seen) + sum(line["missed"] for line in seen[1:]))
        self.assertTrue(all(line["row"]["note"] == f"row {line['row']['id']}" for line in seen))
        self.assertTrue(all(line["row"]["id"] - seen[0]["row"]["id"] == line["number"] - seen[0]["number"] for line in seen))
        self.recorder.wait_delivered()
        self.assertEqual(int(self.server.query("SELECT uniqExact(id) FROM test.critical")), put)

    def stopped_tail(self, *args):
        """A tail that has mapped the ring of `critical`, and is stopped."""
        tail = self.recorder.popen("coldpath", "tail", "critical", "--json", *args, stdout=subprocess.PIPE)
        end = time.monotonic() + DEADLINE
        while ".0.ring" not in pathlib.Path(f"/proc/{tail.pid}/maps").read_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        tail.send_signal(signal.SIGSTOP)
        return tail

    def test_missed_at_the_ends(self):
        """Rows that pass before the first one shown, and behind the last, are missed too; with those shown they are all that passed."""
        self.recorder.start()
        put, end = 100, time.monotonic() + DEADLINE
        self.put("critical", 0, put)
        while True:  # stopped a moment too early, it begins behind what it should miss
            before = put
            tail = self.stopped_tail("-n", "1")
            self.put("critical", put, 5000)  # several times round
            put += 5000
            tail.send_signal(signal.SIGCONT)
            while tail.poll() is None:
                self.assertLess(time.monotonic(), end)
                self.put("critical", put, 1)
                put += 1
            (first,) = [json.loads(line) for line in tail.communicate()[0].splitlines()]
            if first["missed"]:
                break
            self.assertLess(time.monotonic(), end)
        self.assertEqual((first["number"] - first["missed"], first["row"]["id"]), (before, first["number"]))
        before = put
        tail = self.stopped_tail()
        self.put("critical", put, 5000)
        put += 5000
        tail.send_signal(signal.SIGTERM)
        tail.send_signal(signal.SIGCONT)
        lines = [json.loads(line) for line in tail.communicate(timeout=DEADLINE)[0].splitlines()]
        shown = [line for line in lines if line["row"]]
        if lines:  # not when it was stopped before it had begun
            self.assertEqual(len(shown) + sum(line["missed"] for line in lines), put - before)
            self.assertEqual(lines[-1]["number"] + (1 if lines[-1]["row"] else 0), put)

    def test_bytes(self):
        """Of a String that is no text, or that a terminal would obey, nothing reaches the terminal, and every line of --json is JSON."""
        csv = b'1,2026-01-02 03:04:05,"\x1b[2J\x1b]0;mine\x07\xc2\x9b31m"\n2,2026-01-02 03:04:05,"a\xff\xed\xa0\x80z"\n'
        self.recorder.run("coldpath", "put", "lossy", "--format", "CSV", input=csv, check=True)
        text = self.recorder.run("coldpath", "tail", "lossy", "--waiting", "-n", "2").stdout
        self.assertEqual(text, b"id\tat\tnote\n1\t2026-01-02 03:04:05\t\\x1b[2J\\x1b]0;mine\\x07\\xc2\\x9b31m\n2\t2026-01-02 03:04:05\ta\\xff\\xed\\xa0\\x80z\n")
        self.assertEqual([line["row"]["note"] for line in self.tail("lossy", "--waiting", "-n", "2")],
                         ["\x1b[2J\x1b]0;mine\x07\x9b31m", "a\ufffd\ufffd\ufffd\ufffdz"])
        # What it shows can be put again, every byte of it.
        self.recorder.run("coldpath", "put", "lossy", "--format", "TSV", input=text.split(b"\n", 1)[1], check=True)
        again = self.recorder.run("coldpath", "tail", "lossy", "--waiting", "-n", "4").stdout.splitlines()
        self.assertEqual(again[1:3], again[3:5])

    def stages(self, *args):
        done = self.recorder.run("coldpath", "latency", *args, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return {table["table"]: table for table in json.loads(done.stdout)["tables"]}

    def test_latency(self):
        self.assertEqual(self.stages()["lossy"]["put_drained"], {"count": 0, "p50_ms": None, "p99_ms": None, "p999_ms": None, "max_ms": None})
        self.recorder.start()
        end = time.monotonic() + DEADLINE
        # The drain has to have seen the rings bare: the first rows may have come before.
        while not all(self.stages()[table]["put_delivered"]["count"] for table in ("lossy", "critical")):
            self.assertLess(time.monotonic(), end, self.stages())
            for table in ("lossy", "critical"):
                self.put(table, 0, 10)
        self.recorder.stop()
        stages = self.stages()
        for table, names in (("lossy", ("put_drained", "put_delivered", "insert")),
                             ("critical", ("put_drained", "put_durable", "put_delivered", "insert"))):
            for name in names:
                stage = stages[table][name]
                self.assertGreater(stage["count"], 0, name)
                self.assertLessEqual(stage["p50_ms"], stage["p99_ms"])
                self.assertLessEqual(stage["p99_ms"], stage["p999_ms"])
                self.assertLessEqual(stage["p999_ms"], stage["max_ms"] + 0.001)
        self.assertEqual(stages["lossy"]["put_durable"]["count"], 0)
        self.assertEqual(set(self.stages("lossy")), {"lossy"})
        self.assertEqual(self.stages("--interval", "10ms")["lossy"]["insert"]["count"], 0)
        text = self.recorder.run("coldpath", "latency", "critical").stdout.decode()
        self.assertIn("critical\tput to durable\t", text)
        self.assertEqual(self.recorder.run("coldpath", "latency", "lossie").returncode, 1)
        self.assertEqual(self.recorder.run("coldpath", "latency", "--interval", "soon").returncode, 64)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
