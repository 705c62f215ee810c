"""A killed recorder starts again: a backlog of 1 GB gathers in a critical table's log while ClickHouse is away, then the
recorder is killed ($CP_KILLS times, 9) and started again at once, as a supervisor with Restart=always and no delay does,
while a producer puts a row every millisecond and waits until it is durable. Shows the times from the start of the program,
and from the kill, until it says "ready", and until the first row is durable again: as one JSON line, and in words.
Exits 1 when the backlog is smaller, a row is missing from the account, or the median start takes longer than 100 ms to be
ready."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time

from tests.support.recorder import Recorder

KILLS = int(os.environ.get("CP_KILLS") or 9)
BACKLOG_BYTES = 1 << 30
ROW_BYTES = 96  # in the log, about
FILL_SECONDS = 4
MOST_READY_MS = 100
SETTLE_SECONDS = 0.4
PATIENCE_SECONDS = 30
TABLE = {"class": "critical", "wal_limit": "8GiB", "ring_size": "64MiB", "slots": 4}


def clock_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


def nobody():
    """An address where nothing listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def backlog_bytes(recorder):
    """What waits for ClickHouse, as `coldpath wal verify` counts it."""
    listed = json.loads(recorder.run("coldpath", "wal", "verify", "--json", check=True).stdout)
    return listed["tables"][0]["waiting_bytes"]


def fill(recorder):
    rate = BACKLOG_BYTES * 5 // 4 // ROW_BYTES // FILL_SECONDS
    subprocess.run([str(recorder.build / "bin/put_obf"), str(recorder.region), str(FILL_SECONDS), str(rate)],
                   check=True, capture_output=True, timeout=120)


def wait_ready(recorder, log, process):
    """Reads the log's growth until it says so; when that was."""
    text = ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while 'msg="ready"' not in text:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"coldpathd did not start:\n{recorder.read_log()[-2000:]}")
        time.sleep(0.0005)
        text += log.read()
    return clock_ms()


def kill_and_start(recorder, producer):
    with open(recorder.log, "ab") as sink, open(recorder.log, encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        killed = clock_ms()
        recorder.process.kill()
        recorder.process.wait()
        started = clock_ms()
        recorder.process = subprocess.Popen([str(recorder.build / "bin/coldpathd"), "--config", str(recorder.config)],
                                            env=recorder.environment(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        ready = wait_ready(recorder, log, recorder.process)
    while True:  # the wait that ends behind the start is the one that the kill made
        durable = int(producer.stdout.readline().split()[1]) / 1e6
        if durable > started:
            break
    return {"kill_to_start": started - killed, "start_to_ready": ready - started, "start_to_durable": durable - started,
            "kill_to_ready": ready - killed, "kill_to_durable": durable - killed}


def measure(recorder):
    seconds = str(int(KILLS * (SETTLE_SECONDS + 1) + PATIENCE_SECONDS))
    producer = subprocess.Popen([str(recorder.build / "bin/put_durable"), str(recorder.region), seconds],
                                stdout=subprocess.PIPE, text=True)
    try:
        samples = []
        for _ in range(KILLS):
            time.sleep(SETTLE_SECONDS)
            samples.append(kill_and_start(recorder, producer))
        return samples
    finally:
        producer.kill()
        producer.wait()


def main():
    with Recorder(nobody(), {"obf_universe": TABLE}, extra={"wal": {"segment_size": "64MiB"}}, init=False) as recorder:
        fill(recorder)
        backlog = backlog_bytes(recorder)
        samples = measure(recorder)
        status = recorder.status()["tables"][0]
    result = {"backlog_bytes": backlog, "kills": KILLS, "rows": status["rows_put"],
              "balanced": status["rows_put"] == status["rows_in_log"] + status["rows_in_ring"]}
    for name in samples[0]:
        values = [sample[name] for sample in samples]
        result[name + "_ms"] = {"median": round(statistics.median(values), 1), "least": round(min(values), 1),
                                "most": round(max(values), 1)}
    print(json.dumps(result))
    ready, durable = result["start_to_ready_ms"], result["start_to_durable_ms"]
    print(f"{KILLS} restarts with {backlog / 1e9:.2f} GB in the log: ready {ready['median']} ms after the start "
          f"({ready['least']} to {ready['most']}), a new row durable after {durable['median']} ms "
          f"({durable['least']} to {durable['most']}); from the kill, after {result['kill_to_durable_ms']['median']} ms")
    return 0 if backlog >= BACKLOG_BYTES and result["balanced"] and ready["median"] <= MOST_READY_MS else 1


if __name__ == "__main__":
    sys.exit(main())
