-- Backtests, one row per run, topic backtest_runs.
-- The column list is of this design: the platform's reference names the table and its topic.
CREATE TABLE IF NOT EXISTS backtest_runs
(
    ts DateTime64(9, 'UTC') COMMENT 'when the run ended' CODEC(Delta, ZSTD(1)),
    run_id UUID COMMENT 'unique' CODEC(ZSTD(1)),
    strategy_id LowCardinality(String) COMMENT 'what was tested',
    code_version String COMMENT 'commit of the code' CODEC(ZSTD(1)),
    data_from DateTime64(3, 'UTC') COMMENT 'beginning of the data' CODEC(Delta, ZSTD(1)),
    data_to DateTime64(3, 'UTC') COMMENT 'end of the data' CODEC(Delta, ZSTD(1)),
    symbols Array(LowCardinality(String)) COMMENT 'instruments' CODEC(ZSTD(1)),
    parameters String COMMENT 'JSON' CODEC(ZSTD(1)),
    initial_capital Float64 COMMENT 'at the start' CODEC(ZSTD(1)),
    final_capital Float64 COMMENT 'at the end' CODEC(ZSTD(1)),
    total_return_pct Float64 COMMENT 'percent' CODEC(ZSTD(1)),
    sharpe Float64 COMMENT 'Sharpe ratio' CODEC(ZSTD(1)),
    max_drawdown_pct Float64 COMMENT 'percent' CODEC(ZSTD(1)),
    trades UInt32 COMMENT 'closed' CODEC(T64, ZSTD(1)),
    win_rate_pct Float32 COMMENT 'percent' CODEC(ZSTD(1)),
    duration_ms UInt64 COMMENT 'the run took' CODEC(T64, ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (strategy_id, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'backtests';
