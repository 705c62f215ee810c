"""A batch whose reply was lost, and what became of its rows meanwhile: still there, though the table now refuses them; all gone, or
those of one partition, while ClickHouse still knows the token, as when it is killed between noting the token and storing the
part. Each row must be there once, with the recorder alive throughout and killed in between, for both classes of tables."""

import json
import pathlib
import signal
import sys
import tempfile
import time
import unittest

from tests.support.chaos import NOTHING, ChaosProxy, Fault, answer
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

DDL = """CREATE TABLE orders (number UInt64, _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree PARTITION BY {partition} ORDER BY number SETTINGS non_replicated_deduplication_window = 1000"""
ROWS = 200
WAIT_SECONDS = 30
LOST = Fault("lost", answer=answer(500, "gone"))
AWAY = Fault("away", NOTHING, answer(503, "busy"))


class Doubt(unittest.TestCase):
    def run_case(self, change, critical, killed, partition="number % 3"):
        """Puts ROWS rows whose first insert is stored without an answer, changes the table, and lets the recorder go on.
        (tokens of the inserts in their order, status of the table)"""
        away = True
        with tempfile.TemporaryDirectory(prefix="coldpath-doubt-") as directory, ChdbServer() as server, \
                ChaosProxy(server.port) as proxy:
            ddl = pathlib.Path(directory) / "orders.sql"
            ddl.write_text(DDL.format(partition=partition))
            table = {"ddl": str(ddl), "flush": {"interval": "50ms"}} | ({"class": "critical"} if critical else {})
            with Recorder(proxy, {"orders": table}, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "50ms"}}) as recorder:
                tokens = []

                def plan(request):
                    if request.table is None:
                        return AWAY if tokens and away else None
                    tokens.append(request.token)
                    if not away:
                        return None
                    return LOST if len(tokens) == 1 else AWAY

                proxy.plan = plan
                rows = "".join(f"{number}\n" for number in range(ROWS)).encode()
                recorder.run("coldpath", "put", "orders", "--format", "csv", input=rows, check=True)
                self.wait(lambda: self.held(server) == (ROWS, ROWS))
                if killed:
                    recorder.stop(signal.SIGKILL)
                server.query(f"ALTER TABLE test.orders {change}")
                away = False
                if killed:
                    recorder.start()
                status = recorder.wait_delivered(WAIT_SECONDS)["tables"][0]
                self.assertEqual(self.held(server), (ROWS, ROWS), recorder.read_log()[-3000:])
                audit = json.loads(recorder.run("coldpath", "audit", "--json", check=True).stdout)["tables"][0]
                self.assertEqual((audit["missing"], audit["twice"]), (0, 0), audit)
                self.assertEqual((status["rows_delivered"], status["rows_quarantined"]), (ROWS, 0), status)
                return tokens

    def held(self, server):
        return tuple(int(n) for n in server.query("SELECT count(), uniqExact(number) FROM test.orders").split())

    def wait(self, condition):
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def each(self, *args, **kwargs):
        for critical in (False, True):
            for killed in (False, True):
                with self.subTest(critical=critical, killed=killed):
                    yield self.run_case(*args, critical=critical, killed=killed, **kwargs)

    def test_refused_after_it_was_stored(self):
        for tokens in self.each("ADD CONSTRAINT sound CHECK number % 2 = 0"):
            self.assertEqual(len(set(tokens)), 1, tokens)

    def test_token_without_rows(self):
        for tokens in self.each("DELETE WHERE 1 SETTINGS mutations_sync = 2"):
            self.assertEqual(tokens[-2:], [tokens[0], tokens[0] + "/again-1"])

    def test_token_without_a_partition(self):
        """Rows 64 to 127."""
        for tokens in self.each("DELETE WHERE intDiv(number, 64) = 1 SETTINGS mutations_sync = 2",
                                partition="intDiv(number, 64)"):
            pieces = [token[len(tokens[0]):] for token in tokens if token != tokens[0]]
            sent = sum(int(piece.split("-")[1]) for piece in pieces)
            self.assertEqual(sent, 64, pieces)

    def test_token_without_a_partition_of_many_places(self):
        """Every third row: each is found by itself."""
        for tokens in self.each("DELETE WHERE number % 3 = 1 SETTINGS mutations_sync = 2"):
            self.assertGreaterEqual(len(tokens), ROWS // 3)

    def test_refused_by_a_view(self):
        """ClickHouse stores rows before its materialized views refuse them. In the same batch the table itself refuses a row."""
        for critical in (False, True):
            with self.subTest(critical=critical), tempfile.TemporaryDirectory(prefix="coldpath-doubt-") as directory, \
                    ChdbServer() as server:
                ddl = pathlib.Path(directory) / "orders.sql"
                ddl.write_text(DDL.format(partition="number % 3"))
                table = {"ddl": str(ddl), "flush": {"interval": "50ms"}} | ({"class": "critical"} if critical else {})
                with Recorder(server, {"orders": table}, extra={"clickhouse": {"retry_min": "10ms", "retry_max": "50ms"}}) as recorder:
                    server.query("ALTER TABLE test.orders ADD CONSTRAINT sound CHECK number != 7")
                    server.query("CREATE TABLE test.seen (number UInt64, ok UInt8) ENGINE = MergeTree ORDER BY number")
                    server.query("CREATE MATERIALIZED VIEW test.seen_mv TO test.seen AS "
                                 "SELECT number, throwIf(number = 100) AS ok FROM test.orders")
                    rows = "".join(f"{number}\n" for number in range(ROWS)).encode()
                    recorder.run("coldpath", "put", "orders", "--format", "csv", input=rows, check=True)
                    status = recorder.wait_delivered(WAIT_SECONDS)["tables"][0]
                    self.assertEqual(self.held(server), (ROWS - 1, ROWS - 1), recorder.read_log()[-3000:])
                    self.assertEqual((status["rows_delivered"], status["rows_quarantined"]), (ROWS - 1, 1), status)
                    self.assertIn("a materialized view does not take them", recorder.read_log())


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
