"""Sustained rate of the whole path: obf_universe from one producer through rings and recorder into the embedded engine,
all on this host. Prints one JSON line; exits 1 when rows are missing, or the promised rate
or memory is: MOST_RSS_MB, and what `coldpath check` says, of its own, looked at again and again meanwhile. $CP_SECONDS: how long (default 20).

The peer in the same run is the engine itself: its own INSERT … SELECT of as many rows of the same table."""

import json
import os
import resource
import subprocess
import sys
import time

from tests.bench.idle import anonymous_bytes, memory
from tests.support.chdb import SKIP, ChdbServer, engine_present
from tests.support.recorder import Recorder


LEAST_ROWS_PER_S = 500_000
MOST_RSS_MB = 512
LOOK_SECONDS = 0.02


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    seconds = int(os.environ.get("CP_SECONDS") or 20)
    tables = {"obf_universe": {"ring_size": "64MiB", "slots": 1, "flush": {"max_rows": 500000, "max_bytes": "64MiB"}}}
    with ChdbServer(args=["--threads", "1"]) as server, Recorder(server, tables) as recorder:
        producer = recorder.popen("put_obf", recorder.region, seconds, stdout=subprocess.PIPE)
        most_bytes = 0
        while producer.poll() is None:
            most_bytes = max(most_bytes, anonymous_bytes(recorder.process.pid))
            time.sleep(LOOK_SECONDS)
        put = json.loads(producer.communicate()[0])
        begin = time.monotonic()
        status = recorder.wait_delivered()
        drained = time.monotonic() - begin
        delivered = int(server.query("SELECT count() FROM test.obf_universe"))
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = {
            "rows": put["rows"],
            "delivered": delivered,
            "rows_per_s": round(delivered / (put["seconds"] + drained)),
            "seconds": round(put["seconds"] + drained, 3),
            "recorder_rss_mb": round(recorder.rss_bytes() / 1e6, 1),
            "memory": memory(recorder, most_bytes),
            "recorder_cpu_s": cpu_seconds(recorder.process.pid),
            "engine_cpu_s": cpu_seconds(server.pid),
            "producer_cpu_s": round(children.ru_utime + children.ru_stime, 2),
            "batches": status["tables"][0]["batches_delivered"],
        }
        begin = time.monotonic()
        server.query("CREATE TABLE test.peer AS test.obf_universe")
        server.query("INSERT INTO test.peer SELECT * FROM test.obf_universe")
        result["engine_insert_select_rows_per_s"] = round(delivered / (time.monotonic() - begin))
        print(json.dumps(result))
        # What users are promised on two cores, the engine included.
        enough = result["rows_per_s"] >= LEAST_ROWS_PER_S and result["recorder_rss_mb"] < MOST_RSS_MB and result["memory"]["to_most"] <= 1
        return 0 if delivered == put["rows"] and enough else 1


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
