-- Profit and loss of a day, one row per strategy and snapshot; the newest row of a day counts.
-- The column list is of this design, made from the table's purpose: the system's reference names the table without its columns.
CREATE TABLE IF NOT EXISTS daily_pnl
(
    ts DateTime64(6, 'UTC') COMMENT 'when the row was written' CODEC(Delta, ZSTD(1)),
    date Date COMMENT 'the day it speaks of',
    strategy LowCardinality(String) COMMENT 'blue, green …',
    portfolio_capital Float64 COMMENT 'capital of the whole portfolio' CODEC(ZSTD(1)),
    engine_capital Float64 COMMENT 'capital as the engine counts it' CODEC(ZSTD(1)),
    pnl Float64 COMMENT 'profit or loss of the day, USDT' CODEC(ZSTD(1)),
    pnl_pct Float32 COMMENT 'the same as a fraction of the capital at its start' CODEC(ZSTD(1)),
    trades UInt32 COMMENT 'trades closed' CODEC(T64, ZSTD(1)),
    wins UInt32 COMMENT 'of them with a profit' CODEC(T64, ZSTD(1)),
    fees Float64 COMMENT 'paid, USDT' CODEC(ZSTD(1)),
    max_drawdown_pct Float32 COMMENT 'largest drawdown of the day, percent' CODEC(ZSTD(1)),
    posture LowCardinality(String) COMMENT 'posture at the time',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(date)
ORDER BY (strategy, date, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'daily profit and loss';
