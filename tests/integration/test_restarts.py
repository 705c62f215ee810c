"""Four producers put into one table while the recorder is restarted by SIGTERM twice: nothing is lost, nothing comes
twice, and the rows of each producer arrive in the order in which they were put. A producer that is killed gives its slot
back with all it had committed."""

import signal
import subprocess
import sys
import threading
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

PRODUCERS = 4
ROWS_PER_WRITE = 500
PAUSE = 0.003  # between writes


def row(producer, number):
    ns = 1_700_000_000_000_000_000 + number * 1000
    return f'{ns},\\N,test,P{producer},{number},100.5,1,100.6,{number % 7}\n'


COLUMNS = "recv_ts,exch_ts,venue,symbol,update_id,bid_px,bid_qty,ask_px,ask_qty\n"


class Feeder(threading.Thread):
    """Writes rows to a `coldpath put` little by little until it is told to end, or the pipe breaks."""

    def __init__(self, process, producer, pause):
        super().__init__()
        self.process = process
        self.producer = producer
        self.pause = pause
        self.rows = 0  # written, all of them
        self.end = threading.Event()

    def run(self):
        try:
            self.process.stdin.write(COLUMNS.encode())
            while not self.end.wait(self.pause):
                numbers = range(self.rows, self.rows + ROWS_PER_WRITE)
                self.process.stdin.write("".join(row(self.producer, n) for n in numbers).encode())
                self.process.stdin.flush()
                self.rows += ROWS_PER_WRITE
        except OSError:
            pass
        try:
            self.process.stdin.close()
        except OSError:
            pass


def start_producer(recorder, producer):
    return recorder.popen("coldpath", "put", "quotes", "--format", "CSVWithNames", "--producer", f"p{producer}", "--json",
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Restarts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def count(self, what="count()", where="1"):
        return int(self.server.query(f"SELECT {what} FROM test.quotes WHERE {where}"))

    def setUp(self):
        self.server.query("DROP DATABASE IF EXISTS test")
        self.recorder = Recorder(self.server, {"quotes": {"slots": PRODUCERS}})
        self.recorder.__enter__()
        self.addCleanup(self.recorder.close)

    def test_two_restarts_with_four_producers(self):
        feeders = [Feeder(start_producer(self.recorder, p), p, PAUSE) for p in range(PRODUCERS)]
        for feeder in feeders:
            feeder.start()
        for _ in range(2):
            time.sleep(0.7)
            self.recorder.restart()
        time.sleep(0.3)
        for feeder in feeders:
            self.assertTrue(feeder.is_alive())
            feeder.end.set()
        for feeder in feeders:
            feeder.join()
            error = feeder.process.stderr.read().decode()
            self.assertEqual(feeder.process.wait(60), 0, error)
            feeder.process.stdout.close()
            feeder.process.stderr.close()
        total = sum(feeder.rows for feeder in feeders)
        print(f"{total} rows, {[feeder.rows for feeder in feeders]}", file=sys.stderr)
        status = self.recorder.wait_delivered()
        self.assertTrue(status["balanced"], status)
        self.assertEqual(self.count(), total)
        self.assertEqual(self.count("uniqExact(_cp_epoch, _cp_slot, _cp_position)"), total)
        for feeder in feeders:
            with self.subTest(producer=feeder.producer):
                self.check_producer(feeder)

    def check_producer(self, feeder):
        where = f"symbol = 'P{feeder.producer}'"
        self.assertEqual(self.count("uniqExact(update_id)", where), feeder.rows)
        self.assertEqual(self.count("uniqExact(_cp_slot)", where), 1)
        # In the order of positions, each number is its predecessor's plus one: order kept, no gap.
        ordered = self.server.query("SELECT groupArray(update_id) = range(count()) FROM"
                                    f" (SELECT update_id FROM test.quotes WHERE {where} ORDER BY _cp_position)")
        self.assertIn(ordered.strip(), ("1", "true"))

    def test_a_killed_producer_loses_nothing_it_committed(self):
        process = start_producer(self.recorder, 0)
        feeder = Feeder(process, 0, 0)
        feeder.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        feeder.join()
        process.stdout.close()
        process.stderr.close()
        first = self.recorder.wait_delivered()["tables"][0]
        self.assertGreater(first["rows_put"], 0)
        self.assertEqual(first["producers"], 0)
        self.assertEqual(self.count(), first["rows_put"])
        # Its rows are a prefix of what it was given: no row in the middle is missing, none is torn.
        self.assertEqual(self.count("max(update_id) + 1"), first["rows_put"])
        # The next producer gets the same slot.
        second = self.recorder.run("coldpath", "put", "quotes", "--format", "CSVWithNames", check=True,
                                   input=(COLUMNS + row(9, 1)).encode())
        self.assertEqual(second.returncode, 0)
        self.recorder.wait_delivered()
        self.assertEqual(self.count("uniqExact(_cp_slot)"), 1)
        self.assertEqual(self.count(), first["rows_put"] + 1)

    def test_stop_without_clickhouse_keeps_the_rows(self):
        self.recorder.stop()
        self.recorder.settings["clickhouse"]["url"] = "http://127.0.0.1:9"
        self.recorder.settings["recorder"] = {"stop_timeout": "300ms"}
        self.recorder.write_config()
        self.recorder.start()
        self.recorder.run("coldpath", "put", "quotes", "--format", "CSVWithNames", check=True,
                          input=(COLUMNS + "".join(row(1, n) for n in range(1000))).encode())
        self.assertEqual(self.recorder.stop(), 0)
        self.assertIn("rows_kept_in_region=1000", self.recorder.read_log())
        self.recorder.settings["clickhouse"]["url"] = self.server.url
        self.recorder.write_config()
        self.recorder.start()
        self.recorder.wait_delivered()
        self.assertEqual(self.count("uniqExact(update_id)"), 1000)
        self.assertEqual(self.count(), 1000)


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
