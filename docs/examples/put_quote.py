"""One quote, and what put() says of a mistake."""
import time

import coldpath

quotes = coldpath.attach("demo").table("quotes")
quotes.put({"recv_ts": time.time_ns(), "symbol": "BTCUSDT", "bid_px": "61800.20", "ask_px": "61800.30"})

try:
    quotes.put({"recv_ts": time.time_ns(), "symbl": "BTCUSDT"})
except coldpath.UnknownColumnError as error:
    print(error)  # table quotes has no column 'symbl'; did you mean 'symbol'?

print(quotes.stats()["put"])
