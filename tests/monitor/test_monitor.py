"""The monitor against a real recorder: its answers, promtool's opinion of them, and a real Prometheus that scrapes them.

The engine is the embedded one; without it, or without promtool and prometheus, the test is skipped (77)."""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.prometheus import Prometheus, prometheus_present
from tests.support.recorder import Recorder

FIXED = ("recorder_queue_usage", "recorder_insert_latency_ms", "recorder_wal_size_bytes", "recorder_dropped_rows_total")
TABLES = {"quotes": {"flush": {"interval": "50ms"}}, "l2_updates": {}, "trades": {"class": "critical"}}
QUOTE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "bid_px": "1", "ask_px": "2"}\n'
TRADE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "price": "1", "qty": "2"}\n'


def get(address, path, method="GET", headers=None):
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def samples(text):
    """{'name{labels}': value} of a text exposition."""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}


class MonitorProcess:
    """`coldpath monitor` on a port of the system's choice."""

    def __init__(self, recorder, *args):
        self.process = recorder.popen("coldpath", "monitor", "--listen", "127.0.0.1:0", *args, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split("/")[2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.code = self.process.wait(20)
        self.process.stdout.close()


class Monitor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.recorder = Recorder(cls.server, TABLES, extra={"monitor": {"listen": "127.0.0.1:0"}, "limits": {"daily_bytes": "1024GiB"}})
        cls.recorder.__enter__()
        cls.address = cls.recorder.read_log().split('msg="monitor" url=http://')[1].split("/")[0]
        for table, row in (("quotes", QUOTE), ("trades", TRADE)):
            cls.recorder.run("coldpath", "put", table, input=(row * 1000).encode(), check=True)
        cls.recorder.wait_delivered()

    @classmethod
    def tearDownClass(cls):
        cls.recorder.close()
        cls.server.stop()

    def metrics(self, address=None):
        status, headers, text = get(address or self.address, "/metrics")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        return text

    def wait_for(self, what, truth, seconds=10):
        deadline = time.monotonic() + seconds
        while not truth():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.1)

    def is_served(self):
        try:
            return get(self.address, "/healthz")[0] == 200
        except ConnectionError:  # while a crowd's connections are being closed
            return False

    def test_values(self):
        self.wait_for("counts", lambda: samples(self.metrics()).get('recorder_produced_rows_total{table="quotes"}') == 1000)
        found = samples(self.metrics())
        for table in ("quotes", "trades"):
            self.assertEqual(found[f'recorder_delivered_rows_total{{table="{table}"}}'], 1000)
            self.assertGreater(found[f'recorder_insert_latency_ms{{table="{table}",quantile="0.99"}}'], 0)
            batches = found[f'recorder_batch_rows_count{{table="{table}"}}']
            self.assertEqual(found[f'recorder_batch_rows_sum{{table="{table}"}}'], 1000)
            self.assertEqual(batches, found[f'recorder_delivered_batches_total{{table="{table}"}}'])
            self.assertEqual(batches, found[f'recorder_insert_duration_seconds_bucket{{table="{table}",le="+Inf"}}'])
        self.assertEqual(found['recorder_wal_durable_rows_total{table="trades"}'], 1000)
        self.assertGreater(found['recorder_wal_sync_duration_seconds_count{table="trades"}'], 0)
        self.assertGreater(found['recorder_put_to_durable_seconds_count{table="trades"}'], 0)
        self.assertEqual(found['recorder_wal_sync_duration_seconds_count{table="quotes"}'], 0)
        self.assertGreater(found["recorder_wal_size_bytes"], 0)
        self.assertEqual(found["recorder_wal_size_bytes"], found['recorder_wal_table_size_bytes{table="trades"}'])
        self.assertEqual((found["recorder_up"], found["recorder_sink_state"]), (1, 1))
        self.assertLess(abs(found["recorder_heartbeat_timestamp_seconds"] - time.time()), 5)
        for table in TABLES:
            self.assertEqual(found[f'recorder_dropped_rows_total{{table="{table}"}}'], 0)
            self.assertEqual(found[f'recorder_doubtful_rows_total{{table="{table}"}}'], 0)
            self.assertEqual(found[f'recorder_ledger_balanced{{table="{table}"}}'], 1)
        self.assertEqual((found["recorder_mode"], found["recorder_sent_day_limit_bytes"]), (0, 1 << 40))
        sent = sum(found[f'recorder_sent_bytes_total{{table="{table}"}}'] for table in TABLES)
        self.assertGreaterEqual(found["recorder_sent_day_bytes"], sent)
        self.assertGreater(sent, 0)
        self.assertGreater(found["process_resident_memory_bytes"], 1e6)

    def test_answers(self):
        self.assertEqual(get(self.address, "/healthz")[::2], (200, "ok\n"))
        self.assertEqual(get(self.address, "/readyz")[::2], (200, "ready\n"))
        status, headers, text = get(self.address, "/api/v1/status")
        document = json.loads(text)
        self.assertEqual((status, headers["Content-Type"], document["schema_version"], document["healthy"]),
                         (200, "application/json", 1, True))
        self.assertEqual([table["table"] for table in document["tables"]], list(TABLES))
        self.assertEqual(document["tables"][2]["ledger"]["put"], 1000)
        self.assertEqual(document["tables"][2]["log"]["state"], "takes rows")
        history = json.loads(get(self.address, "/api/v1/history")[2])
        self.assertEqual(len(history["fields"]), len(history["tables"]["quotes"][-1]))

    def test_refusals(self):
        self.assertEqual(get(self.address, "/nothing")[0], 404)
        status, headers, _ = get(self.address, "/metrics", "POST")
        self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        self.assertEqual(get(self.address, "/metrics", "DELETE")[0], 405)
        self.assertEqual(get(self.address, "/metrics", "HEAD")[0::2], (200, ""))
        self.assertEqual(get(self.address, "/metrics", headers={"Host": "evil.example"})[0], 403)
        self.assertEqual(get(self.address, "/metrics", headers={"Host": "127.0.0.1.evil.example"})[0], 403)
        self.assertEqual(get(self.address, "/metrics", headers={"Host": "localhost:1"})[0], 200)
        self.assertIn(get(self.address, "/metrics", headers={"X-Long": "x" * 40000})[0], (413, 431))
        host, port = self.address.rsplit(":", 1)
        crowd = [socket.create_connection((host, int(port)), timeout=5) for _ in range(64)]  # more than are served
        for one in crowd:
            one.close()
        self.wait_for("served again", self.is_served, 30)

    def test_garbage(self):
        """Broken requests are refused or dropped; the server stays. $CP_SEED repeats a run."""
        seed = int(os.environ.get("CP_SEED") or time.time_ns())
        print(f"CP_SEED={seed}")
        chance = random.Random(seed)
        host, port = self.address.rsplit(":", 1)
        whole = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for _ in range(150):
            kind = chance.randrange(4)
            data = bytearray(whole)
            if kind == 0:
                data = chance.randbytes(chance.randrange(1, 3000))
            elif kind == 1:
                for _ in range(chance.randrange(1, 8)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
            elif kind == 2:
                data = data[:chance.randrange(len(data))]
            else:
                data = bytearray(b"POST /api/v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n") + chance.randbytes(100)
            with socket.create_connection((host, int(port)), timeout=5) as one:
                try:
                    one.sendall(data)
                    one.shutdown(socket.SHUT_WR)
                    one.settimeout(0.05)
                    one.recv(65536)
                except OSError:
                    pass
        self.wait_for("served still", self.is_served, 30)
        self.assertEqual(samples(self.metrics())["recorder_up"], 1)

    def test_promtool(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.metrics(), capture_output=True, text=True, check=False)
        complaints = [line for line in done.stderr.splitlines() + done.stdout.splitlines() if line.strip()]
        self.assertTrue(complaints, "recorder_insert_latency_ms is expected to be complained of")
        for line in complaints:
            self.assertTrue(line.startswith("recorder_insert_latency_ms "), complaints)

    def test_prometheus(self):
        """A real Prometheus stores every fixed name; those of tables with a sample for every table."""
        with Prometheus(self.address) as prometheus:
            self.wait_for("a scrape", lambda: prometheus.query("recorder_up"), 30)
            for name in FIXED:
                found = prometheus.query(name)
                self.assertTrue(found, name)
                if name != "recorder_wal_size_bytes":
                    self.assertEqual({sample["metric"]["table"] for sample in found}, set(TABLES), name)
            names = {line.split()[2] for line in self.metrics().splitlines() if line.startswith("# TYPE")}
            for name in names - {"recorder_producer_up"}:
                self.assertTrue(prometheus.query(f'{{__name__=~"{name}(_count)?"}}'), name)
            groups = prometheus.ask("rules")["groups"]
            self.assertTrue(groups)
            self.assertEqual([rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"], [])


class DeadRecorder(unittest.TestCase):
    """A process of its own tells the truth about a region that is absent, has no recorder, and gets one again."""

    def test_life(self):
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False)
        try:
            with MonitorProcess(recorder) as monitor:
                status, _, text = get(monitor.address, "/readyz")
                self.assertEqual(status, 503)
                self.assertIn("no region at", text)
                self.assertEqual(samples(get(monitor.address, "/metrics")[2])["recorder_region_present"], 0)
                self.assertFalse(json.loads(get(monitor.address, "/api/v1/status")[2])["present"])
                recorder.run("coldpath", "init", "--no-tables", check=True)
                recorder.run("coldpath", "put", "quotes", input=(QUOTE * 10).encode(), check=True)
                time.sleep(0.2)
                self.assertIn("no recorder runs", get(monitor.address, "/readyz")[2])
                found = samples(get(monitor.address, "/metrics")[2])
                self.assertEqual((found["recorder_up"], found['recorder_produced_rows_total{table="quotes"}'],
                                  found['recorder_ring_rows{table="quotes"}']), (0, 10, 10))
                recorder.start()
                time.sleep(0.2)
                self.assertEqual(samples(get(monitor.address, "/metrics")[2])["recorder_up"], 1)
                recorder.stop(signal.SIGKILL)
                time.sleep(0.2)
                self.assertIn("it was killed", get(monitor.address, "/readyz")[2])
                shutil.rmtree(recorder.region)
                time.sleep(0.2)
                self.assertIn("no region at", get(monitor.address, "/readyz")[2])
                self.assertEqual(get(monitor.address, "/healthz")[0], 200)
            self.assertEqual(monitor.code, 0)
        finally:
            recorder.close()

    def test_once(self):
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False)
        try:
            self.assertEqual(recorder.run("coldpath", "monitor", "--once").returncode, 69)
            recorder.run("coldpath", "init", "--no-tables", check=True)
            done = recorder.run("coldpath", "monitor", "--once")
            self.assertEqual(done.returncode, 0)
            self.assertEqual(samples(done.stdout.decode())["recorder_up"], 0)
            self.assertEqual(recorder.run("coldpath", "monitor", "--listen", "nonsense").returncode, 64)
        finally:
            recorder.close()

    def test_port_taken(self):
        """coldpathd records all the same."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, extra={"monitor": {"listen": listen}}, init=False)
            try:
                recorder.start()
                self.assertIn('msg="no monitor"', recorder.read_log())
                self.assertIn("port is taken", recorder.read_log())
            finally:
                recorder.close()


if __name__ == "__main__":
    if not engine_present() or not prometheus_present():
        print("skipped: the embedded engine, promtool or prometheus is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
