-- Decisions of the V7 exit engine, one row each time it looked at an open position (dolphin_pink).
-- The column list is of this design, made from the table's purpose: the system's reference names the table without its columns.
CREATE TABLE IF NOT EXISTS v7_decision_events
(
    ts DateTime64(6, 'UTC') COMMENT 'when it was decided' CODEC(Delta, ZSTD(1)),
    decision_id String COMMENT 'UUIDv7 of the decision' CODEC(ZSTD(1)),
    trade_id String COMMENT 'the position' CODEC(ZSTD(1)),
    scan_uuid String COMMENT 'UUIDv7 that traces it to its scan' CODEC(ZSTD(1)),
    scan_number UInt32 COMMENT 'of that scan' CODEC(Delta, ZSTD(1)),
    asset LowCardinality(String) COMMENT 'BTCUSDT …',
    side LowCardinality(String) COMMENT 'LONG or SHORT',
    decision LowCardinality(String) COMMENT 'HOLD, EXIT, REDUCE …',
    reason LowCardinality(String) COMMENT 'rule that decided',
    confidence Float32 COMMENT '0 to 1' CODEC(ZSTD(1)),
    bars_held UInt16 COMMENT 'bars since entry',
    entry_price Float64 COMMENT 'price at entry' CODEC(ZSTD(1)),
    mark_price Float64 COMMENT 'price at the decision' CODEC(ZSTD(1)),
    pnl_pct Float32 COMMENT 'unrealised, as a fraction of the notional' CODEC(ZSTD(1)),
    mae_pct Float32 COMMENT 'worst excursion so far, fraction' CODEC(ZSTD(1)),
    mfe_pct Float32 COMMENT 'best excursion so far, fraction' CODEC(ZSTD(1)),
    vel_div Float32 COMMENT 'velocity divergence' CODEC(ZSTD(1)),
    posture LowCardinality(String) COMMENT 'system posture',
    executed UInt8 COMMENT '1: it was carried out',
    detail String COMMENT 'JSON: the scores behind it' CODEC(ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, asset)
TTL toDateTime(ts) + INTERVAL 365 DAY
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'decisions of the V7 exit engine';
