-- Minutes of market_data, written by `coldpath maintain` before a day's detail is dropped.
-- Prices are of the mid, (bid + ask) / 2, rounded down to the last digit.
CREATE TABLE IF NOT EXISTS market_data_1m
(
    minute DateTime('UTC') COMMENT 'its beginning, by the venue''s time' CODEC(Delta, ZSTD(1)),
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    open Decimal(18, 8) COMMENT 'first mid' CODEC(T64, ZSTD(1)),
    high Decimal(18, 8) COMMENT 'highest mid' CODEC(T64, ZSTD(1)),
    low Decimal(18, 8) COMMENT 'lowest mid' CODEC(T64, ZSTD(1)),
    close Decimal(18, 8) COMMENT 'last mid' CODEC(T64, ZSTD(1)),
    volume Decimal(38, 8) COMMENT 'traded in it' CODEC(ZSTD(1)),
    trades UInt64 COMMENT 'trades in it' CODEC(T64, ZSTD(1)),
    ticks UInt64 COMMENT 'rows of market_data it was made of' CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(minute)
ORDER BY (symbol, venue, environment, minute)
TTL toDateTime(minute) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'one-minute bars of market_data';
