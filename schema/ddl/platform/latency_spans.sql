-- Spans of the hot path, one row each, topic latency_spans. Kept for 30 days.
-- The column list is of this design: the platform's reference names the table and its topic.
CREATE TABLE IF NOT EXISTS latency_spans
(
    ts DateTime64(9, 'UTC') COMMENT 'when the span began' CODEC(Delta, ZSTD(1)),
    trace_id UUID COMMENT 'what belongs together' CODEC(ZSTD(1)),
    span LowCardinality(String) COMMENT 'stage of the path',
    component LowCardinality(String) COMMENT 'who measured it',
    strategy_id LowCardinality(String) COMMENT 'strategy, or empty',
    symbol LowCardinality(String) COMMENT 'instrument, or empty',
    duration_ns UInt64 COMMENT 'how long it took' CODEC(T64, ZSTD(1)),
    queue_depth UInt32 COMMENT 'waiting in front of it' CODEC(T64, ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (span, ts)
TTL toDateTime(ts) + INTERVAL 30 DAY
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'latency spans';
