"""The configuration changes while producers run: the recorder is stopped, an unrelated table is added, the region made
anew, the recorder started again. The producers attach anew by themselves, and every row they say they put arrives, once."""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

SMALL = {"ring_size": "64KiB", "row_max": "4KiB"}
ATTACHED = "the region was replaced; attached anew"


class Reattach(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.server.query("DROP DATABASE IF EXISTS test")
        self.messages = tempfile.NamedTemporaryFile(mode="w+", prefix="coldpath-reattach-")
        self.addCleanup(self.messages.close)

    def start(self, recorder, program, *args, **kwargs):
        process = recorder.popen(program, *args, stdout=subprocess.PIPE, stderr=self.messages, **kwargs)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def said(self):
        return pathlib.Path(self.messages.name).read_text()

    def wait(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{what}: not within {seconds} s; {self.said()}")
            time.sleep(0.02)

    def replace_region(self, recorder, table):
        self.assertEqual(recorder.stop(), 0)
        recorder.settings["tables"][table] = SMALL
        recorder.write_config()
        time.sleep(0.1)
        recorder.run("coldpath", "init", check=True)
        time.sleep(0.1)
        recorder.start()

    def count(self, table, where="1"):
        return int(self.server.query(f"SELECT count() FROM test.{table} WHERE {where}"))

    def check_tables(self, recorder, tables):
        """Each table of the account is in ClickHouse, once, and by its spans."""
        recorder.wait_delivered()
        for table in tables:
            name = table["table"]
            self.assertEqual(self.count(name), table["rows"], name)
            spans = [f"_cp_epoch = {s['epoch']} AND _cp_slot = {s['slot']} AND _cp_position >= {s['first']} "
                     f"AND _cp_position < {s['last']}" for s in table["spans"]]
            self.assertEqual(sum(self.count(name, span) for span in spans), table["rows"], table)

    def feed(self, program, args, tables, added, lines):
        with Recorder(self.server, {table: dict(SMALL) for table in tables}) as recorder:
            process = self.start(recorder, program, "--json", "--region", recorder.region, *args)
            self.wait("first rows", lambda: all(t["rows_put"] > 100 for t in recorder.status()["tables"]))
            self.replace_region(recorder, added)
            self.wait("attached anew", lambda: self.said().count(ATTACHED) == lines)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            answer = json.loads(process.communicate(timeout=60)[0])
            self.assertEqual(process.returncode, 0, self.said())
            self.assertEqual(answer["rows_put"], sum(t["rows"] for t in answer["tables"]))
            self.check_tables(recorder, answer["tables"])
            self.assertEqual(len(self.said().splitlines()), lines, self.said())

    def test_hoststats(self):
        self.feed("coldpath-hoststats", ["--interval", "1ms"], ["system_stats"], "quotes", 1)

    def test_market(self):
        self.feed("coldpath-market", ["--synthetic", "--rate", "20000"], ["l2_updates", "quotes", "trades"],
                  "system_stats", 3)

    def test_put(self):
        """coldpath put, fed little by little; --wait follows the rows into ClickHouse."""
        with Recorder(self.server, {"quotes": dict(SMALL)}) as recorder:
            process = self.start(recorder, "coldpath", "put", "quotes", "--format", "CSVWithNames", "--json", "--wait",
                                 stdin=subprocess.PIPE)
            process.stdin.write(b"recv_ts,venue,symbol,update_id,bid_px,bid_qty,ask_px,ask_qty\n")
            rows = 0

            def write(count):
                nonlocal rows
                for _ in range(count):
                    process.stdin.write(b"%d,v,s,%d,1.5,1,1.6,1\n" % (1_700_000_000_000_000_000 + rows, rows))
                    rows += 1
                process.stdin.flush()

            write(1000)
            self.wait("first rows", lambda: recorder.status()["tables"][0]["rows_put"] > 0)
            self.replace_region(recorder, "trades")
            for _ in range(20):
                write(500)
                time.sleep(0.01)
            self.wait("attached anew", lambda: ATTACHED in self.said())
            process.stdin.close()
            process.stdin = None
            answer = json.loads(process.communicate(timeout=60)[0])
            self.assertEqual((process.returncode, answer["rows_put"], answer["delivered"]), (0, rows, True), self.said())
            self.assertEqual(self.count("quotes"), rows)
            self.assertEqual(int(self.server.query("SELECT uniqExact(update_id) FROM test.quotes")), rows)

    def test_region_gone_for_good(self):
        """Nobody makes the region again: the feed gives up after its time, and says how far it came."""
        with Recorder(self.server, {"l2_updates": SMALL, "quotes": SMALL, "trades": SMALL}) as recorder:
            process = self.start(recorder, "coldpath-market", "--json", "--region", recorder.region, "--synthetic", "--rate",
                                 "20000", "--timeout", "1s")
            self.wait("first rows", lambda: all(t["rows_put"] > 100 for t in recorder.status()["tables"]))
            process.send_signal(signal.SIGSTOP)  # so that it sees the region gone, not the new one
            self.assertEqual(recorder.stop(), 0)
            recorder.settings["tables"]["system_stats"] = SMALL
            recorder.write_config()
            recorder.run("coldpath", "init", check=True)
            (recorder.region / "control").unlink()
            process.send_signal(signal.SIGCONT)
            answer = json.loads(process.communicate(timeout=60)[0])
            self.assertEqual(process.returncode, 69, self.said())
            self.assertIn("cannot be attached anew", self.said())
            self.assertGreater(answer["rows_put"], 300)


if __name__ == "__main__":
    if not engine_present():
        print("the embedded engine is not here")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
