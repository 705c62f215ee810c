"""The page in a real, headless Chromium: it shows the numbers that are there, goes on showing them, shows each outage within two
seconds, can be used with the keyboard, asks nobody but its own server, and the console stays empty."""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.chromium import Chromium, chromium_present
from tests.support.recorder import Recorder

TABLES = {"quotes": {"flush": {"interval": "50ms"}}, "l2_updates": {"flush": {"interval": "50ms"}},
          "trades": {"class": "critical", "flush": {"interval": "50ms"}}}
OUTAGE_SECONDS = 2
SHOTS = os.environ.get("COLDPATH_SCREENSHOTS")  # a directory to leave pictures in

CELL = "[...document.querySelectorAll('#{table} tbody tr')].find(r => r.cells[0].textContent === '{row}').cells[{column}].textContent"
STATE = "document.body?.dataset.state"


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Chromium().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()

    def setUp(self):
        self.server = ChdbServer().start()
        self.addCleanup(self.server.stop)
        self.recorder = Recorder(self.server, TABLES, extra={"clickhouse": {"retry_max": "500ms"}}).__enter__()
        self.addCleanup(self.recorder.close)
        self.monitor = self.recorder.popen("coldpath", "monitor", "--listen", "127.0.0.1:0", stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, self.monitor)
        self.address = self.monitor.stdout.readline().split("/")[2]
        self.feed = self.recorder.popen("coldpath-market", "--synthetic", "--rate", "2000", "--region", str(self.recorder.region),
                                        "--on-full", "drop", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, self.feed)
        self.page = self.browser.page(f"http://{self.address}/")

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()

    def shot(self, name):
        if SHOTS:
            self.page.screenshot(pathlib.Path(SHOTS, name + ".png"))

    def number(self, table, row, column):
        return int(self.page.evaluate(CELL.format(table=table, row=row, column=column)).replace(",", ""))

    def status(self):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        connection.request("GET", "/api/v1/status")
        document = json.loads(connection.getresponse().read())
        connection.close()
        return {table["table"]: table for table in document["tables"]}

    def all_well(self):
        self.page.wait(f"{STATE} === 'good'", 15)

    def test_numbers(self):
        """What the page shows lies between what the server says before and after; and it moves."""
        self.all_well()
        self.page.wait("document.querySelectorAll('#ledger tbody tr').length === 3")
        before = self.status()
        time.sleep(1.5)
        shown = {table: self.number("ledger", table, 1) for table in TABLES}
        after = self.status()
        for table in TABLES:
            self.assertLessEqual(before[table]["ledger"]["put"], shown[table])
            self.assertLessEqual(shown[table], after[table]["ledger"]["put"])
        self.page.wait(CELL.format(table="ledger", row="l2_updates", column=1) + f".replaceAll(',', '') > {shown['l2_updates']}", 3)
        rate = self.page.evaluate(CELL.format(table="live", row="l2_updates", column=2))
        self.assertGreater(int(rate.replace(",", "")), 200)
        self.shot("desktop-light")
        self.page.prefer("dark")
        self.page.wait("document.documentElement.dataset.theme === 'dark'", 2)
        time.sleep(1)
        self.shot("desktop-dark")
        self.assertEqual(self.page.complaints, [])

    def test_charts(self):
        """Lines are drawn: a canvas has pixels of the first series' colour. A build without charts says so."""
        self.all_well()
        if not self.page.evaluate("typeof uPlot !== 'undefined'"):
            self.assertFalse(self.page.evaluate("document.getElementById('no-charts').hidden"))
            return
        self.page.wait("document.querySelectorAll('figure canvas').length === 6")
        inked = """(() => { const c = document.querySelector('#chart-put canvas'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            const [r, g, b] = [0x1c, 0x5f, 0xd4]; let n = 0;
            for (let i = 0; i < d.length; i += 4) if (Math.abs(d[i] - r) + Math.abs(d[i+1] - g) + Math.abs(d[i+2] - b) < 40 && d[i+3] > 200) n++; return n > 20; })()"""
        self.page.prefer("light")
        self.page.wait(inked, 10)
        self.assertIn("now", self.page.evaluate("document.querySelector('#chart-put [role=img]').getAttribute('aria-label')"))
        self.page.evaluate("document.querySelector('#legend button').click()")
        self.assertEqual(self.page.evaluate("document.querySelector('#legend button').getAttribute('aria-pressed')"), "false")
        self.page.wait(f"!({inked})", 5)
        self.assertEqual([said for said in self.page.complaints if "getImageData" not in said], [])  # which is this test's

    def test_history(self):
        """Who opens the page later sees what was before."""
        time.sleep(5)
        page = self.browser.page(f"http://{self.address}/")
        page.wait(f"{STATE} === 'good'", 10)
        if page.evaluate("Charts.available()"):
            self.assertGreaterEqual(page.evaluate("charts.seconds.length"), 4)

    def test_no_recorder(self):
        self.all_well()
        self.recorder.stop(signal.SIGKILL)
        took = self.page.wait(f"{STATE} === 'bad' && document.getElementById('word').textContent === 'NO RECORDER'", 5)
        self.assertLess(took, OUTAGE_SECONDS)
        self.assertIn("it was killed", self.page.evaluate("document.getElementById('reasons').innerText"))
        self.assertIn("NO RECORDER", self.page.evaluate("document.title"))
        self.shot("no-recorder")
        self.recorder.start()
        self.all_well()
        self.assertEqual(self.page.complaints, [])

    def test_sink_down(self):
        self.all_well()
        self.page.wait("document.querySelectorAll('#live tbody tr').length === 3")
        self.server.end(signal.SIGKILL)
        took = self.page.wait(f"{STATE} === 'bad' && document.getElementById('word').textContent === 'CLICKHOUSE DOWN'", 5)
        self.assertLess(took, OUTAGE_SECONDS)
        self.assertIn("rows wait", self.page.evaluate("document.getElementById('cost').innerText"))
        self.assertIn("coldpath query", self.page.evaluate("document.getElementById('mend').innerText"))
        self.shot("sink-down")
        self.page.resize(390, 844, mobile=True, scale=2)
        time.sleep(1)
        self.shot("phone-sink-down")
        self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), 390)
        self.assertEqual(self.page.complaints, [])

    def test_recorder_hangs(self):
        self.all_well()
        self.recorder.process.send_signal(signal.SIGSTOP)
        try:
            self.page.wait(f"{STATE} === 'bad' && document.getElementById('word').textContent === 'RECORDER STUCK'", 8)
            self.assertIn("when it was last seen", self.page.evaluate("document.getElementById('facts').innerText"))
        finally:
            self.recorder.process.send_signal(signal.SIGCONT)
        self.all_well()

    def test_monitor_gone(self):
        self.all_well()
        self.monitor.send_signal(signal.SIGKILL)
        self.monitor.wait(20)
        took = self.page.wait(f"{STATE} === 'lost' && document.getElementById('word').textContent === 'NO ANSWER'", 5)
        self.assertLess(took, OUTAGE_SECONDS)
        self.shot("no-answer")

    def test_keyboard(self):
        """The skip link, the colours, the sorting; each has the focus in its turn."""
        self.all_well()
        self.page.wait("document.querySelectorAll('#live tbody tr').length === 3")
        self.page.key("Tab")
        self.assertEqual(self.page.evaluate("document.activeElement.className"), "skip")
        self.page.key("Tab")
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "theme")
        for wanted in ("light", "dark"):
            self.page.key("Enter")
            self.assertEqual(self.page.evaluate("document.documentElement.dataset.theme"), wanted)
        for _ in range(40):
            self.page.key("Tab")
            if self.page.evaluate("document.activeElement.textContent === 'put/s'"):
                break
        self.page.key("Enter")
        self.assertEqual(self.page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')"), "descending")
        self.page.wait("document.querySelector('#live tbody th').textContent === 'l2_updates'", 5)
        self.page.evaluate("localStorage.clear()")
        self.assertEqual(self.page.evaluate("[...document.querySelectorAll('button')].filter(b => !b.textContent.trim()).length"), 0)
        self.assertEqual(self.page.evaluate("document.documentElement.lang"), "en")

    def test_no_outside_assets(self):
        self.all_well()
        names = self.page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        self.assertTrue(names)
        for name in names:
            self.assertTrue(name.startswith((f"http://{self.address}/", "data:")), name)

    def test_phone(self):
        self.page.resize(390, 844, mobile=True, scale=2)
        self.all_well()
        time.sleep(2)
        self.shot("phone-light")
        for width in (390, 360):
            self.page.resize(width, 740, mobile=True, scale=2)
            deadline = time.monotonic() + 20  # charts follow a change of width a moment later
            while self.page.evaluate("document.documentElement.scrollWidth") > width and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertLessEqual(self.page.evaluate("document.documentElement.scrollWidth"), width)
            # Nothing to scroll sideways, nothing cut off, and every figure says what it is of.
            outside = f"[...document.querySelectorAll('#live td, #live th, #ledger td')].filter(c => c.getBoundingClientRect().right > {width} || c.scrollWidth > c.clientWidth)"
            self.assertEqual(self.page.evaluate(f"{outside}.map(c => c.textContent)"), [])
            self.assertEqual(self.page.evaluate("[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth).length"), 0)
        self.assertIn("delivered/s", self.page.evaluate("getComputedStyle(document.querySelector('#live tbody td:nth-child(4)'), '::before').content"))
        self.assertGreater(self.page.evaluate("document.querySelector('#live tbody td:nth-child(4)').getBoundingClientRect().height"), 20)
        self.assertEqual(self.page.complaints, [])


if __name__ == "__main__":
    if not engine_present() or not chromium_present():
        print("skipped: the embedded engine or chromium is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
