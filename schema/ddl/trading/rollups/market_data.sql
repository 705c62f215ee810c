-- One partition (a day) of market_data as minutes. `coldpath maintain` runs it before it drops the day.
INSERT INTO market_data_1m (minute, symbol, venue, environment, open, high, low, close, volume, trades, ticks)
SELECT
    toStartOfMinute(toDateTime(ts_exchange, 'UTC')) AS minute,
    symbol,
    venue,
    environment,
    argMin((bid_px + ask_px) / 2, (ts_exchange, sequence, ts)) AS open,
    max((bid_px + ask_px) / 2) AS high,
    min((bid_px + ask_px) / 2) AS low,
    argMax((bid_px + ask_px) / 2, (ts_exchange, sequence, ts)) AS close,
    sumIf(last_qty, kind = 'TRADE') AS volume,
    countIf(kind = 'TRADE') AS trades,
    count() AS ticks
FROM market_data
WHERE _partition_id = {partition:String}
GROUP BY minute, symbol, venue, environment;
