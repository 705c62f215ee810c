-- Market data: best bid and ask, last trade, and the book's levels as arrays, one row per update.
-- Kept for 90 days in detail; market_data_1m keeps its minutes (rollups/market_data.sql).
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS market_data
(
    ts_exchange DateTime64(9, 'UTC') COMMENT 'the venue''s time' CODEC(Delta, ZSTD(1)),
    ts DateTime64(9, 'UTC') COMMENT 'when it was received' CODEC(Delta, ZSTD(1)),
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    kind Enum8('SNAPSHOT' = 1, 'UPDATE' = 2, 'TRADE' = 3) COMMENT 'what the row tells',
    sequence UInt64 COMMENT 'the venue''s number of the update' CODEC(Delta, ZSTD(1)),
    bid_px Decimal(18, 8) COMMENT 'best bid' CODEC(T64, ZSTD(1)),
    bid_qty Decimal(18, 8) COMMENT 'resting at it' CODEC(T64, ZSTD(1)),
    ask_px Decimal(18, 8) COMMENT 'best ask' CODEC(T64, ZSTD(1)),
    ask_qty Decimal(18, 8) COMMENT 'resting at it' CODEC(T64, ZSTD(1)),
    last_px Decimal(18, 8) COMMENT 'price of the last trade; 0: none yet' CODEC(T64, ZSTD(1)),
    last_qty Decimal(18, 8) COMMENT 'its size; 0 unless kind is TRADE' CODEC(T64, ZSTD(1)),
    bids_px Array(Decimal(18, 8)) COMMENT 'bid prices, best first; empty: not in this update' CODEC(ZSTD(1)),
    bids_qty Array(Decimal(18, 8)) COMMENT 'resting at each' CODEC(ZSTD(1)),
    asks_px Array(Decimal(18, 8)) COMMENT 'ask prices, best first' CODEC(ZSTD(1)),
    asks_qty Array(Decimal(18, 8)) COMMENT 'resting at each' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts_exchange)
ORDER BY (symbol, venue, ts_exchange)
TTL toDateTime(ts_exchange) + INTERVAL 90 DAY
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'market data with book levels';
