"""What a plain MergeTree makes of a retry after it was killed: four writers insert blocks of three partitions under tokens, the
engine is killed by SIGKILL, started again, and each block that was under way is inserted once more under its token. A block is
whole then, or some partition of it was dropped as a repetition of what was never stored. No coldpathd takes part: this measures
the engine, for docs/architecture.md, Delivery. $CP_SECONDS: how long (default 60), $CP_SEED. Prints one JSON line; exits 1 when a
block is there twice."""

import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time

from tests.support.chdb import SKIP, ChdbError, ChdbServer, engine_present

SECONDS = float(os.environ.get("CP_SECONDS") or 60)
SEED = int(os.environ.get("CP_SEED") or 1)
WRITERS = 4
ROWS = 600
BODY = [f"{n},{'x' * (n % 50)}\n" for n in range(ROWS)]


def insert(server, writer, block):
    server.post({"query": f"INSERT INTO t{writer} FORMAT CSV", "insert_deduplication_token": f"block-{block}", "async_insert": "0",
                 "wait_end_of_query": "1"}, "".join(f"{block},{line}" for line in BODY).encode())


def write(server, writer, blocks):
    """Block after block, until the engine is gone; blocks[writer] is the one under way then."""
    try:
        while True:
            blocks[writer] += 1
            insert(server, writer, blocks[writer])
    except (OSError, ChdbError, http.client.HTTPException):
        pass


def main():
    rng = random.Random(SEED)
    kills = incomplete = twice = 0
    blocks = [0] * WRITERS
    with tempfile.TemporaryDirectory(prefix="coldpath-kill-") as path, ChdbServer(path=path) as server:
        server.args = ["--port", str(server.port)]
        for writer in range(WRITERS):
            server.query(f"CREATE TABLE t{writer} (block UInt64, n UInt64, text String) ENGINE = MergeTree PARTITION BY n % 3"
                         " ORDER BY n SETTINGS non_replicated_deduplication_window = 10000")
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            threads = [threading.Thread(target=write, args=(server, writer, blocks)) for writer in range(WRITERS)]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.05, 0.5))
            os.kill(server.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
            server.end(signal.SIGKILL)
            server.start()
            kills += 1
            for writer, block in enumerate(blocks):
                insert(server, writer, block)
        for writer in range(WRITERS):
            held = [int(line) for line in server.query(f"SELECT count() FROM t{writer} GROUP BY block").split()]
            incomplete += sum(rows < ROWS for rows in held) + blocks[writer] - len(held)
            twice += sum(rows > ROWS for rows in held)
    print(json.dumps({"kills": kills, "blocks": sum(blocks), "incomplete": incomplete, "twice": twice}))
    return 1 if twice else 0


if __name__ == "__main__":
    sys.exit(main() if engine_present() else SKIP)
