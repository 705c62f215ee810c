-- Market data of the platform, topic market_data: ticks and book snapshots, one row per event. Kept for 60 days.
-- The column list is of this design: the platform's reference names the table and its topic.
CREATE TABLE IF NOT EXISTS market_data
(
    ts_exchange DateTime64(9, 'UTC') COMMENT 'the venue''s time' CODEC(Delta, ZSTD(1)),
    ts DateTime64(9, 'UTC') COMMENT 'when it was received' CODEC(Delta, ZSTD(1)),
    symbol LowCardinality(String) COMMENT 'instrument',
    exchange LowCardinality(String) COMMENT 'venue',
    type Enum8('Tick' = 1, 'BidAsk' = 2, 'Snapshot' = 3) COMMENT 'kind of event',
    seq UInt64 COMMENT 'number of the event at its source' CODEC(Delta, ZSTD(1)),
    price Decimal(18, 8) COMMENT 'of the trade; 0: none' CODEC(T64, ZSTD(1)),
    volume Decimal(18, 8) COMMENT 'of the trade' CODEC(T64, ZSTD(1)),
    bids_price Array(Decimal(18, 8)) COMMENT 'bid prices, best first' CODEC(ZSTD(1)),
    bids_volume Array(Decimal(18, 8)) COMMENT 'resting at each' CODEC(ZSTD(1)),
    asks_price Array(Decimal(18, 8)) COMMENT 'ask prices, best first' CODEC(ZSTD(1)),
    asks_volume Array(Decimal(18, 8)) COMMENT 'resting at each' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts_exchange)
ORDER BY (symbol, exchange, ts_exchange)
TTL toDateTime(ts_exchange) + INTERVAL 60 DAY
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'market data';
