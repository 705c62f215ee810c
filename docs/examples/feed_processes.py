"""A feed in several processes: the handle is opened once; each child that is forked takes a slot of its own with its first put."""
import multiprocessing
import time

import coldpath

quotes = coldpath.attach("demo").table("quotes")


def record(worker):
    for number in range(250):
        while not quotes.put({"recv_ts": time.time_ns(), "venue": f"worker {worker}", "symbol": "BTCUSDT", "update_id": number}):
            time.sleep(0.001)
    return quotes.stats()["put"]


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        put = pool.map(record, range(4), chunksize=1)
    print(sum(row_count > 0 for row_count in put), "tasks")
