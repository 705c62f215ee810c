-- State of the whole system, one row about every 10 s, kept for 180 days. The columns are fixed by the programs that read this table, hence no provenance columns.
-- The table has no partitions, as its programs know it: the TTL alone removes old rows.
CREATE TABLE IF NOT EXISTS status_snapshots
(
    ts DateTime64(3, 'UTC') COMMENT 'when the snapshot was taken' CODEC(Delta, ZSTD(1)),
    capital Float64 COMMENT 'current capital' CODEC(ZSTD(1)),
    roi_pct Float32 COMMENT 'return on investment, percent' CODEC(ZSTD(1)),
    dd_pct Float32 COMMENT 'current drawdown, percent' CODEC(ZSTD(1)),
    trades_executed UInt16 COMMENT 'trades so far',
    posture LowCardinality(String) COMMENT 'APEX, TURTLE or HIBERNATE',
    rm Float32 COMMENT 'risk metric' CODEC(ZSTD(1)),
    vel_div Float32 COMMENT 'latest velocity divergence' CODEC(ZSTD(1)),
    vol_ok UInt8 COMMENT '1: volatility is within bounds',
    phase LowCardinality(String) COMMENT 'trading phase',
    mhs_status LowCardinality(String) COMMENT 'status of the meta health service',
    boost Float32 COMMENT 'boost of the circuit breaker' CODEC(ZSTD(1)),
    cat5 Float32 COMMENT 'risk metric of category 5' CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY ts
TTL toDateTime(ts) + INTERVAL 180 DAY
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'system status';
