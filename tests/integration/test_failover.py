"""Two ClickHouse servers that know nothing of each other, each with a MergeTree of its own. The first one stores a batch, loses the
answer, and is away: nobody knows whether it has the batch. The batch waits for it, on disk; the rows behind it go to the second
one. When the first is back, each row is at one of the two, once: with the recorder alive throughout, killed meanwhile, and
killed between setting the batch aside and saying so."""

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
ENGINE = MergeTree ORDER BY number SETTINGS non_replicated_deduplication_window = 1000"""
FIRST, MORE = 200, 100
WAIT_SECONDS = 20
LOST = Fault("lost", answer=answer(500, "gone"))
AWAY = Fault("away", NOTHING, answer(503, "busy"))


class Failover(unittest.TestCase):
    def wait(self, condition, recorder):
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end, recorder.read_log()[-4000:])
            time.sleep(0.02)

    def put(self, recorder, first, count):
        rows = "".join(f"{number}\n" for number in range(first, first + count)).encode()
        recorder.run("coldpath", "put", "orders", "--format", "csv", input=rows, check=True)

    def run_case(self, critical, killed):
        """killed: None, "later", or "between"."""
        with tempfile.TemporaryDirectory(prefix="coldpath-failover-") as directory, ChdbServer() as one, ChdbServer() as two, \
                ChaosProxy(one.port) as proxy:
            ddl = pathlib.Path(directory) / "orders.sql"
            ddl.write_text(DDL)
            two.query("CREATE DATABASE test")
            two.query(DDL.replace("TABLE orders", "TABLE test.orders"))
            table = {"ddl": str(ddl), "flush": {"interval": "50ms"}} | ({"class": "critical"} if critical else {})
            urls = {"url": [proxy.url, two.url], "retry_min": "10ms", "retry_max": "50ms", "failback_after": "1s"}
            with Recorder(proxy, {"orders": table}, extra={"clickhouse": urls}) as recorder:
                away = [False]

                def plan(request):
                    if away[0] or request.table is None:
                        return AWAY if away[0] else None
                    away[0] = True
                    return LOST

                if killed == "between":
                    recorder.stop()
                    recorder.extra_environment = {"COLDPATH_FAILPOINT": "batch.held"}
                    recorder.start()
                proxy.plan = plan
                self.put(recorder, 0, FIRST)
                if killed == "between":
                    self.wait(lambda: recorder.process.poll() is not None, recorder)
                    recorder.stop()
                    recorder.extra_environment = {}
                    recorder.start()
                status = lambda: recorder.status()["tables"][0]
                self.wait(lambda: status()["rows_held"] == FIRST, recorder)
                self.put(recorder, FIRST, MORE)
                self.wait(lambda: status()["rows_delivered"] == MORE, recorder)
                self.check_shown(recorder, proxy.url, two.url)
                if killed == "later":
                    recorder.stop(signal.SIGKILL)
                    recorder.start()
                    self.assertEqual(status()["rows_held"], FIRST)
                proxy.plan = None
                self.wait(lambda: status()["rows_delivered"] == FIRST + MORE, recorder)
                self.assertEqual((status()["rows_held"], recorder.status()["balanced"]), (0, True), recorder.status())
                held = lambda server: server.query("SELECT count(), uniqExact(number), min(number), max(number) FROM test.orders").split()
                self.assertEqual(held(one), [f"{FIRST}", f"{FIRST}", "0", f"{FIRST - 1}"])
                self.assertEqual(held(two), [f"{MORE}", f"{MORE}", f"{FIRST}", f"{FIRST + MORE - 1}"])
                self.wait(lambda: [e["role"] for e in recorder.status()["recorder"]["endpoints"]] == ["chosen", "standby"], recorder)

    def check_shown(self, recorder, first, second):
        endpoints = recorder.status()["recorder"]["endpoints"]
        self.assertEqual([(e["url"], e["role"], e["state"]) for e in endpoints],
                         [(first, "standby", "down"), (second, "chosen", "healthy")], endpoints)
        self.assertIn("busy", endpoints[0]["reason"])
        self.assertEqual((endpoints[0]["rows_held"], endpoints[0]["batches_held"]), (FIRST, 1))
        text = recorder.run("coldpath", "status").stdout.decode()
        self.assertIn(f"standby   {first} down for", text)
        self.assertIn("set aside for an endpoint that is away", text)

    def test_lossy(self):
        self.run_case(False, None)

    def test_critical(self):
        self.run_case(True, None)

    def test_killed_later(self):
        for critical in (False, True):
            with self.subTest(critical=critical):
                self.run_case(critical, "later")

    def test_killed_between(self):
        for critical in (False, True):
            with self.subTest(critical=critical):
                self.run_case(critical, "between")


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
