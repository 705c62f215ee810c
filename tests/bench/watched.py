"""What being watched costs a producer that has no CPU of its own and sleeps between its puts: 50,000 rows a second, without and with
ten scrapes a second of /metrics and `coldpath top` at ten looks a second, block by block in turns (paired.py). $CP_SECONDS: for all
blocks, about (default 20).

Prints one JSON line; exits 1 when p99.9 is more than MOST_RATIO of that without, and that is beyond doubt."""

import http.client
import json
import os
import pty
import subprocess
import sys
import threading
import time

from tests.bench import paired
from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 20)
ROWS_PER_S = 50_000
PER_SECOND = 10
MOST_RATIO = 1.05
LEAST_BLOCKS = 3


class Watchers:
    """`coldpath monitor`, scraped, and `coldpath top` on a terminal that somebody reads."""

    def __init__(self, recorder):
        self.scrapes = 0
        self.stop = threading.Event()
        self.monitor = recorder.popen("coldpath", "monitor", "--listen", "127.0.0.1:0", stdout=subprocess.PIPE, text=True)
        address = self.monitor.stdout.readline().split("/")[2]
        self.master, slave = pty.openpty()
        self.top = recorder.popen("coldpath", "top", "-i", "100ms", stdin=slave, stdout=slave)
        os.close(slave)
        self.threads = [threading.Thread(target=self.scrape, args=(address,)), threading.Thread(target=self.read, daemon=True)]
        for thread in self.threads:
            thread.start()

    def scrape(self, address):
        connection = http.client.HTTPConnection(address, timeout=10)
        while not self.stop.wait(1 / PER_SECOND):
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            self.scrapes += 1
        connection.close()

    def read(self):
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass

    def end(self):
        self.stop.set()
        self.threads[0].join()
        for process in (self.top, self.monitor):
            process.terminate()
            process.wait(20)
        self.monitor.stdout.close()
        os.close(self.master)
        return self.scrapes


class Bench:
    def __init__(self, recorder):
        self.recorder = recorder
        self.watchers = None
        self.scrapes = 0
        self.producer = paired.Producer(recorder, ROWS_PER_S)
        self.trial = paired.Trial(self.producer, self.begin, self.end)

    def begin(self):
        self.watchers = Watchers(self.recorder)

    def end(self):
        self.scrapes += self.watchers.end()

    def run(self):
        until = time.monotonic() + SECONDS
        try:
            while time.monotonic() < until or len(self.trial.blocks) + self.trial.left_out < LEAST_BLOCKS:
                self.trial.block()
        finally:
            self.producer.end()


def main():
    # ClickHouse is away, so that it takes no processor time from those who are compared; the ring has room for all rows.
    recorder = Recorder("http://127.0.0.1:9", {"quotes": {"ring_size": "1GiB", "slots": 1}}, init=False).start()
    try:
        bench = Bench(recorder)
        bench.run()
        result = {"bench": "watched", "rows_per_s": ROWS_PER_S, "scrapes": bench.scrapes} | bench.trial.result(MOST_RATIO)
    finally:
        recorder.close()
    print(json.dumps(result))
    return 1 if result["ratio"]["verdict"] == "no" else 0


if __name__ == "__main__":
    sys.exit(main())
