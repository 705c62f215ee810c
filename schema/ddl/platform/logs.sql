-- Log of the risk checks, topic risk_log. Kept for 7 years.
-- The column list is of this design: the platform's reference names the table and its topic.
CREATE TABLE IF NOT EXISTS logs
(
    ts DateTime64(9, 'UTC') COMMENT 'when it was said' CODEC(Delta, ZSTD(1)),
    level Enum8('DEBUG' = 1, 'INFO' = 2, 'WARN' = 3, 'ERROR' = 4) COMMENT 'how bad',
    component LowCardinality(String) COMMENT 'who said it',
    strategy_id LowCardinality(String) COMMENT 'which strategy it is about, or empty',
    symbol LowCardinality(String) COMMENT 'which instrument, or empty',
    event LowCardinality(String) COMMENT 'kind of event',
    message String COMMENT 'for people' CODEC(ZSTD(1)),
    payload String COMMENT 'JSON: what belongs to it' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (component, ts)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'risk log';
