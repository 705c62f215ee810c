-- Positions through the day, one row per change or snapshot. Kept for 7 years.
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS positions_intraday
(
    ts DateTime64(9, 'UTC') COMMENT 'when it was taken' CODEC(Delta, ZSTD(1)),
    account LowCardinality(String) COMMENT 'the account',
    strategy LowCardinality(String) COMMENT 'the strategy',
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    qty Decimal(18, 8) COMMENT 'held; negative: short' CODEC(T64, ZSTD(1)),
    avg_entry_px Decimal(18, 8) COMMENT 'average price at entry' CODEC(T64, ZSTD(1)),
    mark_px Decimal(18, 8) COMMENT 'mark price' CODEC(T64, ZSTD(1)),
    unrealized_pnl Decimal(18, 8) COMMENT 'at the mark price' CODEC(T64, ZSTD(1)),
    realized_pnl Decimal(18, 8) COMMENT 'of the day so far' CODEC(T64, ZSTD(1)),
    notional Decimal(18, 8) COMMENT 'at the mark price' CODEC(T64, ZSTD(1)),
    leverage Float32 COMMENT 'applied' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (account, symbol, ts)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'intraday positions';
