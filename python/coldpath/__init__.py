"""Rows from Python into coldpath's shared memory.

    import coldpath

    quotes = coldpath.attach("dolphin").table("quotes")
    quotes.put({"recv_ts": time.time_ns(), "symbol": "BTCUSDT", "bid_px": "61800.20", "ask_px": "61800.30"})

put() copies the row into shared memory and returns: True, or False when the ring is full. The recorder, coldpathd, ships it
to ClickHouse; while it is away rows wait. Nothing here starts threads, waits (but wait_durable and wait_delivered) or
needs a running recorder.

Threads. A Table belongs to the thread that first puts through it; open one per thread and table, or one with shared=True,
through which any thread may put. put, append, put_many and put_array hold the GIL from begin to end, so each is one step
for all other threads; the waits release it. wait_durable, wait_delivered and stats may be called from any thread.

Processes. After os.fork() (multiprocessing's "fork" too) a child's handle takes a slot of its own with its first put; what
the parent put stays the parent's. With "spawn" each process attaches by itself.
"""

from ._coldpath import (AbsentError, ClosedError, ColumnTypeError, ColumnValueError, Error, Region, SchemaError, Table,
                        ThreadError, UnknownColumnError, attach)

__all__ = ["AbsentError", "ClosedError", "ColumnTypeError", "ColumnValueError", "Error", "Region", "SchemaError", "Table",
           "ThreadError", "UnknownColumnError", "attach"]
