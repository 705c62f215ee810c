-- State of an account, one row per snapshot. Kept for 7 years.
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS account_state
(
    ts DateTime64(9, 'UTC') COMMENT 'when it was taken' CODEC(Delta, ZSTD(1)),
    account LowCardinality(String) COMMENT 'the account',
    currency LowCardinality(String) COMMENT 'of the amounts',
    equity Decimal(18, 8) COMMENT 'balance and unrealised profit' CODEC(T64, ZSTD(1)),
    balance Decimal(18, 8) COMMENT 'wallet balance' CODEC(T64, ZSTD(1)),
    available Decimal(18, 8) COMMENT 'free for orders' CODEC(T64, ZSTD(1)),
    margin_used Decimal(18, 8) COMMENT 'bound by positions and orders' CODEC(T64, ZSTD(1)),
    maintenance_margin Decimal(18, 8) COMMENT 'below which positions are closed' CODEC(T64, ZSTD(1)),
    unrealized_pnl Decimal(18, 8) COMMENT 'of open positions' CODEC(T64, ZSTD(1)),
    realized_pnl_day Decimal(18, 8) COMMENT 'of the day so far' CODEC(T64, ZSTD(1)),
    drawdown_pct Float32 COMMENT 'from the peak, percent' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (account, ts)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'account state';
