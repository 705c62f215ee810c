"""What being watched costs a producer: puts at 50,000 rows a second, in turns alone and with ten scrapes a second of /metrics and
`coldpath top` at ten looks a second. $CP_SECONDS: for all rounds (default 20).

Compares the medians of the puts' times at 99.9 %. Prints one JSON line; exits 1 when being watched makes that more than 5 % and more
than two steps of the timer longer."""

import http.client
import json
import os
import pty
import statistics
import subprocess
import sys
import threading
import time

from tests.support.recorder import Recorder

SECONDS = int(os.environ.get("CP_SECONDS") or 20)
ROWS_PER_S = 50_000
ROUND_SECONDS = 1
PER_SECOND = 10
MOST_RATIO = 1.05
TIMER_STEP_NS = 20  # two steps of the coarsest timer there is: less is no difference


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


def run_round(recorder, watched):
    watchers = Watchers(recorder) if watched else None
    done = recorder.run("put_paced", recorder.region, ROUND_SECONDS, 0, f"quotes:{ROWS_PER_S}", check=True)
    scrapes = watchers.end() if watchers else 0
    return json.loads(done.stdout)["tables"][0]["put_ns"] | {"scrapes": scrapes}


def main():
    # ClickHouse is away, so that it takes no processor time from those who are compared; the ring has room for all rows.
    recorder = Recorder("http://127.0.0.1:9", {"quotes": {"ring_size": "1GiB", "slots": 1}}, init=False).start()
    rounds = {False: [], True: []}
    try:
        run_round(recorder, False)  # warms up
        until = time.monotonic() + SECONDS
        while time.monotonic() < until or len(rounds[True]) < 3:
            for watched in (False, True):
                rounds[watched].append(run_round(recorder, watched))
    finally:
        recorder.close()
    alone, watched = (statistics.median(one["p999"] for one in rounds[which]) for which in (False, True))
    ratio = watched / alone if alone else 1.0
    print(json.dumps({"bench": "watched", "rounds": len(rounds[True]), "p999_alone_ns": alone, "p999_watched_ns": watched, "ratio": round(ratio, 3),
                      "p50_alone_ns": statistics.median(one["p50"] for one in rounds[False]),
                      "p50_watched_ns": statistics.median(one["p50"] for one in rounds[True]),
                      "scrapes": sum(one["scrapes"] for one in rounds[True])}))
    return 1 if ratio > MOST_RATIO and watched - alone > TIMER_STEP_NS else 0


if __name__ == "__main__":
    sys.exit(main())
