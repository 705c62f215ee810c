-- Executions, one row each. Kept for 7 years.
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS fills
(
    ts DateTime64(9, 'UTC') COMMENT 'when the fill was known' CODEC(Delta, ZSTD(1)),
    ts_exchange DateTime64(9, 'UTC') COMMENT 'the venue''s time' CODEC(Delta, ZSTD(1)),
    fill_id String COMMENT 'the venue''s id' CODEC(ZSTD(1)),
    order_id String COMMENT 'our id of the order' CODEC(ZSTD(1)),
    strategy LowCardinality(String) COMMENT 'who sent it',
    account LowCardinality(String) COMMENT 'for which account',
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    side Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'direction',
    price Decimal(18, 8) COMMENT 'paid' CODEC(T64, ZSTD(1)),
    qty Decimal(18, 8) COMMENT 'filled' CODEC(T64, ZSTD(1)),
    fee Decimal(18, 8) COMMENT 'paid; negative: a rebate' CODEC(T64, ZSTD(1)),
    fee_asset LowCardinality(String) COMMENT 'currency of the fee',
    liquidity Enum8('UNKNOWN' = 0, 'MAKER' = 1, 'TAKER' = 2) COMMENT 'which side of the book we were',
    realized_pnl Decimal(18, 8) COMMENT 'by this fill, in the quote currency' CODEC(T64, ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, fill_id)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'fills';
