"""Every kind of fault, brought about in a real recorder that ships to the embedded engine, and looked for in all the places where an
operator looks: `coldpath status --json`, /metrics, the page in a headless Chromium, and an alert of the shipped rules in a real
Prometheus; in each with the command that mends it or shows more. Alerts may be pending: what they wait for is their `for`, which
promtool's tests go through (test_alerts.py)."""

import errno
import http.client
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.chromium import Chromium, chromium_present
from tests.support.prometheus import Prometheus, prometheus_present
from tests.support.recorder import Recorder

PATIENCE = 40  # for what has to be seen at some time
TABLES = {"quotes": {"flush": {"interval": "50ms"}},
          "l2_updates": {"ring_size": "64KiB", "row_max": "4KiB", "pressure": {"early_release": "off"}, "flush": {"interval": "50ms"}},
          "trades": {"class": "critical", "ring_size": "8MiB", "wal_limit": "16MiB", "flush": {"interval": "50ms"}},
          "recorder_canary": {"ring_size": "64KiB", "slots": 1, "flush": {"interval": "50ms"}}}
EXTRA = {"clickhouse": {"retry_min": "50ms", "retry_max": "300ms"}, "wal": {"segment_size": "2MiB"},
         "canary": {"interval": "200ms", "limit": "3s"}, "monitor": {"listen": "127.0.0.1:0"}}
QUOTE = '{{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "bid_px": "{price}", "ask_px": "2"}}\n'
UPDATE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "side": "B", "price": "1", "qty": "2"}\n'
DISK_MIB = 48  # of the logs: more than wal_limit
RING_ROWS = 4096 + 8  # shm/abi.h: the producer's own count of rows in a ring file
TRADE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "price": "1", "qty": "2"}\n'


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enter(ChdbServer())
        cls.recorder = Recorder(cls.server, TABLES, extra=EXTRA)
        cls.addClassCleanup(shutil.rmtree, cls.recorder.work, ignore_errors=True)
        cls.disk = cls.recorder.work / "wal"
        cls.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "coldpath-test", cls.disk], capture_output=True, text=True, check=False)
        cls.no_disk = mounted.stderr if mounted.returncode else None
        if not cls.no_disk:
            cls.addClassCleanup(subprocess.run, ["umount", "-l", cls.disk], check=True)
        cls.addClassCleanup(cls.recorder.stop)
        cls.addClassCleanup(shutil.rmtree, cls.recorder.region_root, ignore_errors=True)
        cls.recorder.__enter__()
        cls.monitor = cls.recorder.popen("coldpath", "monitor", "--listen", "127.0.0.1:0", stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.end)
        cls.address = cls.monitor.stdout.readline().split("/")[2]
        cls.prometheus = cls.enter(Prometheus(cls.address))
        cls.page = cls.enter(Chromium()).page(f"http://{cls.address}/")

    @classmethod
    def enter(cls, context):
        cls.addClassCleanup(context.__exit__)
        return context.__enter__()

    @classmethod
    def end(cls):
        cls.monitor.terminate()
        cls.monitor.wait(20)
        cls.monitor.stdout.close()

    def wait_for(self, what, truth):
        deadline = time.monotonic() + PATIENCE
        while not (found := truth()):
            self.assertLess(time.monotonic(), deadline, what() if callable(what) else what)
            time.sleep(0.1)
        return found

    def metrics(self):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}

    def put(self, table, row, count=1):
        return self.recorder.run("coldpath", "put", table, "--timeout", "200ms", input=(row * count).encode())

    def reload(self, **settings):
        for key, value in settings.items():
            self.recorder.settings[key] = value
        self.recorder.write_config()
        done = self.recorder.run("coldpath", "reload")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def told(self, parts):
        """The line of status --json, reasons or notices, that has all parts."""
        status = self.recorder.status()
        return next((line for line in status["reasons"] + status["notices"] if all(part in line for part in parts)), None)

    def seen(self, status, metric, word, mend, alert, remedy):
        """status: parts of a reason or notice, its command among them; metric: what holds of /metrics; word and mend: on the page."""
        self.wait_for(lambda: f"{status} in status: {self.recorder.status()}", lambda: self.told(status))
        self.wait_for("the metric", lambda: metric(self.metrics()))
        self.wait_for(lambda: f"{word} on the page: {self.page.evaluate('document.body.innerText')[:600]}",
                      lambda: self.page.evaluate("document.getElementById('word').textContent") == word)
        self.assertIn(mend, self.page.evaluate("document.getElementById('mend').innerText"))
        self.wait_for(f"the command on the page, of {word}", lambda: all(part in self.page.evaluate("document.getElementById('banner').innerText") for part in status))
        found = self.wait_for(lambda: f"{alert} of {list(self.prometheus.alerts())}", lambda: self.prometheus.alerts().get(alert))
        self.assertIn(remedy, found["annotations"]["remedy"])

    def all_well(self):
        self.wait_for(lambda: f"health: {self.recorder.status()['reasons']}", lambda: self.recorder.status()["healthy"])

    def test_faults(self):
        self.all_well()
        self.page.wait("document.body?.dataset.state === 'good'", PATIENCE)
        self.wait_for("a scrape", lambda: self.prometheus.query("recorder_healthy == 1") and self.prometheus.query("recorder_discards_total"))
        self.wait_for("no alert of before", lambda: not self.prometheus.alerts())
        for fault in (self.quarantine, self.drift, self.paused, self.disk_full, self.log_failing, self.resumed, self.mode, self.ring_filling,
                      self.disk_filling, self.budget, self.ledger_off, self.hung, self.sink_down, self.dead):
            with self.subTest(fault=fault.__name__):
                fault()
        self.assertEqual(self.page.complaints, [])

    def quarantine(self):
        self.put("quotes", QUOTE.format(price=1), 10)
        self.server.query("ALTER TABLE test.quotes ADD CONSTRAINT sound CHECK bid_px > 0")
        self.put("quotes", QUOTE.format(price=-1))
        self.seen(("quotes: rows that ClickHouse refuses went to the quarantine, 1 since", "coldpath quarantine ls"), lambda m: m['recorder_quarantined_rows_total{table="quotes"}'] == 1,
                  "ROWS REFUSED", "coldpath quarantine ls", "ColdpathRowsRejected", "coldpath quarantine ls")
        self.server.query("ALTER TABLE test.quotes DROP CONSTRAINT sound")

    def drift(self):
        self.server.query("ALTER TABLE test.quotes DROP COLUMN bid_qty")
        self.assertEqual(self.recorder.run("coldpath", "schema", "diff").returncode, 2)
        self.put("quotes", QUOTE.format(price=1), 10)
        self.seen(("quotes: parked", "coldpath schema diff", "coldpath flush"), lambda m: m['recorder_parked{table="quotes"}'] == 1,
                  "TABLE PARKED", "coldpath schema apply", "ColdpathTableParked", "coldpath schema diff")
        for command in (("schema", "apply"), ("flush", "--wait")):  # as it says
            done = self.recorder.run("coldpath", *command)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.all_well()

    def mode(self):
        self.reload(mode="disabled")
        self.seen(("mode disabled", "coldpath reload"), lambda m: m["recorder_mode"] == 2, "NOT SENDING", "coldpath reload", "ColdpathNotSending", "coldpath reload")

    def ring_filling(self):
        """In mode disabled: nothing takes rows out of a ring of l2_updates."""
        self.assertNotEqual(self.put("l2_updates", UPDATE, 2000).returncode, 0)
        self.seen(("l2_updates: its fullest ring is", "coldpath top"), lambda m: m['recorder_queue_usage{table="l2_updates"}'] > 0.9,
                  "RING FILLING", "coldpath top", "ColdpathRingFilling", "coldpath top")
        self.wait_for("refusals", lambda: "coldpath status" in self.prometheus.alerts().get("ColdpathPutsRefused", {"annotations": {"remedy": ""}})["annotations"]["remedy"])

    def disk_filling(self):
        """Likewise the log, up to its limit: said before it is full, and when it is."""
        def drained():
            return next(table for table in self.recorder.status()["tables"] if table["table"] == "trades")["rows_in_ring"] == 0
        while not self.told(("trades: its log has", "coldpath wal ls trades")):
            half = self.metrics()['recorder_wal_table_size_bytes{table="trades"}'] >= 8 << 20
            self.assertEqual(self.put("trades", TRADE, 3000 if half else 20000).returncode, 0)
            self.wait_for("trades in the log", drained)  # or the next rows take it from well to full, unseen
        self.wait_for("filling", lambda: self.told(("trades: its log has", "coldpath wal ls trades")))
        self.wait_for("the alert", lambda: "coldpath wal ls" in self.prometheus.alerts().get("ColdpathWalFilling", {"annotations": {"remedy": ""}})["annotations"]["remedy"])
        for _ in range(100):
            if self.put("trades", TRADE, 20000).returncode:
                break
        self.seen(("trades: its log takes no rows", "it is at its limit", "coldpath doctor"), lambda m: m['recorder_wal_state{table="trades"}'] == 2,
                  "LOG FULL", "coldpath doctor", "ColdpathWalStopped", "coldpath doctor")
        self.reload(mode="direct")
        self.recorder.wait_delivered()
        self.all_well()

    def budget(self):
        self.reload(limits={"daily_bytes": "1KiB"})
        self.seen(("the day's budget is spent", "coldpath reload"), lambda m: m["recorder_sent_day_bytes"] > m["recorder_sent_day_limit_bytes"] == 1024,
                  "BUDGET SPENT", "coldpath reload", "ColdpathBudgetSpent", "coldpath reload")
        self.reload(limits={"daily_bytes": 0})
        self.all_well()

    def paused(self):
        """With what follows, until it is resumed: so rows of the log wait there."""
        self.assertEqual(self.recorder.run("coldpath", "pause", "trades").returncode, 0)
        self.put("trades", TRADE, 10)
        self.seen(("trades: paused for", "coldpath resume trades"), lambda m: m['recorder_paused{table="trades"}'] == 1,
                  "TABLE PAUSED", "coldpath resume", "ColdpathTablePaused", "coldpath resume")

    def disk_full(self):
        """The file system of the logs has not a byte left, and the logs are far from their limit; when it has, they go on by themselves."""
        if self.no_disk:
            self.skipTest(f"no file system can be mounted here: {self.no_disk}")
        with open(self.disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError as error:
                self.assertEqual(error.errno, errno.ENOSPC)
        try:
            for _ in range(100):
                self.put("trades", TRADE, 20000)
                if self.told(("trades: its log takes no rows",)):
                    break
            self.assertLess(self.metrics()['recorder_wal_table_size_bytes{table="trades"}'], 12 << 20)
            self.seen(("trades: its log takes no rows", "disk is full", "coldpath doctor"), lambda m: m['recorder_wal_state{table="trades"}'] == 2,
                      "LOG FULL", "coldpath doctor", "ColdpathWalStopped", "coldpath doctor")
            said = self.recorder.run("coldpath", "errors").stdout  # whoever notices first: the writer, or what makes segments
            self.assertTrue(b"no space for another segment" in said or b"free space of its file system must grow" in said, said)
            self.assertIn(b"free room on the disk of wal.dir", self.recorder.run("coldpath", "doctor").stdout)
        finally:
            (self.disk / "filler").unlink()
            self.resumed()  # what waited in the ring may have filled the log to its limit meanwhile
        self.assertEqual(self.recorder.run("coldpath", "pause", "trades").returncode, 0)

    def log_failing(self):
        """A write that the kernel refuses, and not for want of room: over the limit of a file's size. The log is open from here on."""
        process = self.recorder.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            self.put("trades", TRADE, 10)
            self.seen(("trades: its log cannot be written", "coldpath doctor"), lambda m: m['recorder_wal_state{table="trades"}'] == 3,
                      "LOG FAILING", "coldpath doctor", "ColdpathWalStopped", "coldpath doctor")
        finally:
            resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
        self.wait_for("writing again", lambda: self.metrics()['recorder_wal_state{table="trades"}'] == 1)

    def resumed(self):
        self.assertEqual(self.recorder.run("coldpath", "resume", "trades").returncode, 0)
        self.recorder.wait_delivered()
        self.all_well()

    def ledger_off(self):
        """A producer's word that its ring and the recorder contradict."""
        with open(self.recorder.region / "quotes.0.ring", "r+b", buffering=0) as ring:
            ring.seek(RING_ROWS)
            rows = ring.read(8)
            for wrong in (True, False):
                ring.seek(RING_ROWS)
                ring.write(struct.pack("<Q", struct.unpack("<Q", rows)[0] + 7 * wrong))
                if wrong:
                    self.seen(("quotes: the ledger does not balance", "coldpath audit"), lambda m: m['recorder_ledger_balanced{table="quotes"}'] == 0,
                              "LEDGER OFF", "coldpath audit", "ColdpathLedgerUnbalanced", "coldpath audit")
        self.all_well()

    def hung(self):
        self.recorder.process.send_signal(signal.SIGSTOP)
        try:
            self.seen(("heartbeat", "systemctl restart coldpathd"), lambda m: m["recorder_up"] == 1 and time.time() - m["recorder_heartbeat_timestamp_seconds"] > 3,
                      "RECORDER STUCK", "systemctl restart coldpathd", "ColdpathRecorderStuck", "restarting coldpathd")
        finally:
            self.recorder.process.send_signal(signal.SIGCONT)
        self.all_well()

    def sink_down(self):
        self.server.end(signal.SIGKILL)
        self.put("quotes", QUOTE.format(price=1), 10)
        self.seen(("ClickHouse does not answer", "coldpath query 'SELECT 1'"), lambda m: m["recorder_sink_state"] == 2,
                  "CLICKHOUSE DOWN", "coldpath query 'SELECT 1'", "ColdpathClickHouseUnreachable", "coldpath query 'SELECT 1'")
        self.wait_for("the canary", lambda: self.told(("the canary is stale", "hold")))
        self.wait_for("its alert", lambda: "coldpath status" in self.prometheus.alerts().get("ColdpathCanaryStale", {"annotations": {"remedy": ""}})["annotations"]["remedy"])

    def dead(self):
        self.recorder.stop(signal.SIGKILL)
        self.seen(("no recorder runs (it was killed)", "systemctl start coldpathd"), lambda m: m["recorder_up"] == 0,
                  "NO RECORDER", "systemctl start coldpathd", "ColdpathRecorderDown", "systemctl start coldpathd")


if __name__ == "__main__":
    if not engine_present() or not chromium_present() or not prometheus_present():
        print("skipped: the embedded engine, chromium, promtool or prometheus is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
