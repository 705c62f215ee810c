"""A feed under asyncio: put() never waits, so it is simply called; waiting for ClickHouse is done by a thread."""
import asyncio
import random
import time

import coldpath

quotes = coldpath.attach("demo").table("quotes")


async def venue(name, count):
    """Stands for a websocket."""
    bid = 61800.0
    for number in range(count):
        await asyncio.sleep(0)
        bid = round(bid + random.choice((-0.1, 0.1)), 2)
        yield {"recv_ts": time.time_ns(), "venue": name, "symbol": "BTCUSDT", "update_id": number, "bid_px": bid,
               "ask_px": round(bid + 0.1, 2)}


async def record(name, count):
    async for quote in venue(name, count):
        if not quotes.put(quote):
            print("the ring is full: the quote is dropped, and counted")


async def main():
    await asyncio.gather(record("usdm", 500), record("spot", 500))
    print(quotes.stats()["put"])
    # wait_delivered may be called from any thread; it waits only when somebody must know.
    await asyncio.to_thread(quotes.wait_delivered, 0.1)


asyncio.run(main())
