"""`coldpath top`: on a pseudo-terminal it draws, follows the window's size, obeys keys and leaves the terminal as it was; without
one, and with the recorder dead, it tells the truth once."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder

QUOTE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "bid_px": "1", "ask_px": "2"}\n'
TRADE = '{"recv_ts": 1700000000000000000, "symbol": "BTCUSDT", "venue": "binance", "price": "1", "qty": "2"}\n'


class Terminal:
    """A program on a pseudo-terminal, and as much of a screen as top needs: rows of text, cursor moves, erasing."""

    def __init__(self, recorder, *args, rows=24, columns=120, **environment):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.resize(rows, columns)
        self.process = recorder.popen("coldpath", *args, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave
        self.raw = ""
        self.clear()

    def clear(self):
        self.screen = [""] * 200
        self.row = self.column = 0

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def feed(self, text):
        for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\n|\r|[^\x1b\n\r]+", text):
            if piece == "\n":
                self.row += 1
            elif piece == "\r":
                self.column = 0
            elif piece.startswith("\x1b["):
                self.control(piece[2:-1], piece[-1])
            else:
                line = self.screen[self.row].ljust(self.column)
                self.screen[self.row] = line[:self.column] + piece + line[self.column + len(piece):]
                self.column += len(piece)

    def control(self, numbers, order):
        if order == "H":
            place = [int(n) for n in numbers.split(";") if n] or [1, 1]
            self.row, self.column = place[0] - 1, place[1] - 1
        elif order == "K":
            self.screen[self.row] = self.screen[self.row][:self.column]
        elif order == "J":
            self.screen[self.row] = self.screen[self.row][:self.column] if numbers == "" else ""
            for row in range(self.row + 1 if numbers == "" else 0, 200):
                self.screen[row] = ""

    def wait(self, truth, seconds=10):
        deadline = time.monotonic() + seconds
        while not truth(self):
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError("\n".join(self.screen[:self.rows]) + repr(self.raw[-500:]))
            if select.select([self.master], [], [], min(left, 0.05))[0]:
                text = os.read(self.master, 65536).decode()
                self.raw += text
                self.feed(text)

    def text(self):
        return "\n".join(self.screen[:self.rows])

    def keys(self, keys):
        os.write(self.master, keys.encode())

    def end(self, seconds=10):
        """Its exit code; the rest of what it wrote is read."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                text = os.read(self.master, 65536).decode()
                self.raw += text
                self.feed(text)
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError("does not end")
        while select.select([self.master], [], [], 0.1)[0]:
            self.raw += os.read(self.master, 65536).decode()
        return self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ChdbServer().start()
        cls.recorder = Recorder(cls.server, {"quotes": {"flush": {"interval": "50ms"}}, "trades": {"class": "critical"}}).__enter__()
        for table, row in (("quotes", QUOTE), ("trades", TRADE)):
            cls.recorder.run("coldpath", "put", table, input=(row * 500).encode(), check=True)
        cls.recorder.wait_delivered()

    @classmethod
    def tearDownClass(cls):
        cls.recorder.close()
        cls.server.stop()

    def open(self, *args, **kwargs):
        terminal = Terminal(self.recorder, "top", *args, **kwargs)
        self.addCleanup(terminal.close)
        return terminal

    def test_screen(self):
        terminal = self.open("-i", "200ms")
        terminal.wait(lambda t: "all is well" in t.text() and re.search(r"trades +critical", t.text()))  # a screen comes in parts
        self.assertIn(f"pid {self.recorder.process.pid}", terminal.text())
        self.assertIn("clickhouse healthy", terminal.text())
        self.assertRegex(terminal.text(), r"quotes +lossy")
        self.assertRegex(terminal.text(), r"logs +[\d.]+ MiB of 4\.0 GiB")
        self.assertTrue(terminal.raw.startswith("\x1b[?1049h"))
        clock = terminal.screen[0]
        terminal.wait(lambda t: t.screen[0] != clock, 10)  # it goes on
        terminal.keys("q")
        self.assertEqual(terminal.end(), 0)
        self.assertTrue(terminal.raw.rstrip().endswith("\x1b[?25h\x1b[?1049l"))
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)

    def test_rates(self):
        """A feed's rate is what it puts."""
        feed = self.recorder.popen("coldpath", "put", "quotes", stdin=subprocess.PIPE)
        try:
            terminal = self.open("-i", "500ms")
            deadline = time.monotonic() + 4
            while time.monotonic() < deadline and not re.search(r"quotes +lossy +[1-9]\d", terminal.text()):
                feed.stdin.write((QUOTE * 20).encode())
                feed.stdin.flush()
                try:
                    terminal.wait(lambda t: False, 0.1)
                except AssertionError:
                    pass
            self.assertRegex(terminal.text(), r"quotes +lossy +[1-9]\d")
        finally:
            feed.stdin.close()
            feed.wait(20)

    def test_keys(self):
        terminal = self.open("-i", "200ms")
        terminal.wait(lambda t: "sorted by region" in t.text())
        for order in ("rows/s", "ring", "waiting", "region"):
            terminal.keys("s")
            terminal.wait(lambda t, order=order: f"sorted by {order}" in t.text(), 10)
        terminal.keys("p")
        terminal.wait(lambda t: "PAUSED" in t.text(), 10)
        terminal.keys("p\x1b[B")
        terminal.wait(lambda t: "PAUSED" not in t.text() and "quotes" not in t.text() and "trades" in t.text(), 10)
        terminal.keys("\x1b[A")
        terminal.wait(lambda t: "quotes" in t.text(), 10)
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)

    def test_resize(self):
        """Lines are cut at the window's edge, and a change shows at once, before the interval is over."""
        terminal = self.open("-i", "30s", rows=24, columns=120)
        terminal.wait(lambda t: "sorted by region" in t.text())
        self.assertGreater(len(terminal.screen[1]), 60)
        for rows, columns in ((10, 40), (4, 20), (50, 200)):
            # The change itself sends SIGWINCH. What an earlier size left unread on the way is drawn over by the next screen.
            terminal.resize(rows, columns)
            terminal.wait(lambda t, rows=rows, columns=columns: t.screen[rows - 1] != "" and t.screen[0] != ""
                          and max(len(line) for line in t.screen) <= columns
                          and len(t.screen[1]) > min(columns, 60) // 2
                          and not any(t.screen[rows:]), 5)
        terminal.keys("q")
        self.assertEqual(terminal.end(), 0)

    def test_once_and_json(self):
        done = self.recorder.run("coldpath", "top", "--once", "-i", "100ms")
        self.assertEqual(done.returncode, 0, done.stdout)
        text = done.stdout.decode()
        self.assertNotIn("\x1b", text)
        self.assertIn("all is well", text)
        answer = json.loads(self.recorder.run("coldpath", "top", "--once", "--json", "-i", "100ms").stdout)
        self.assertEqual((answer["schema_version"], answer["verb"], answer["healthy"], answer["recorder"]["alive"]), (1, "top", True, True))
        self.assertEqual([table["table"] for table in answer["tables"]], ["quotes", "trades"])
        self.assertGreater(answer["tables"][0]["insert_p99_ms"], 0)
        self.assertGreater(answer["logs"]["sync_p99_ms"], 0)
        self.assertEqual(self.recorder.run("coldpath", "top", "-i", "1ms").returncode, 64)


class Dead(unittest.TestCase):
    def test_dead_recorder(self):
        recorder = Recorder("http://127.0.0.1:9", {"quotes": {}}, init=False)
        try:
            done = recorder.run("coldpath", "top", "--once", "-i", "100ms")
            self.assertEqual(done.returncode, 69)
            self.assertIn(b"no region at", done.stdout)
            recorder.start()
            recorder.run("coldpath", "put", "quotes", input=(QUOTE * 7).encode(), check=True)
            recorder.stop(signal.SIGKILL)
            done = recorder.run("coldpath", "top", "--once", "-i", "100ms")
            self.assertEqual(done.returncode, 69)
            text = done.stdout.decode()
            self.assertIn("absent (last: running)", text)
            self.assertIn("it was killed", text)
            self.assertRegex(text, r"quotes +lossy +0 +0 .* 7 ")
            answer = json.loads(recorder.run("coldpath", "top", "--once", "--json", "-i", "100ms").stdout)
            self.assertEqual((answer["recorder"]["alive"], answer["tables"][0]["rows_waiting"]), (False, 7))
        finally:
            recorder.close()


if __name__ == "__main__":
    if not engine_present():
        print("skipped: the embedded engine is not there")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
