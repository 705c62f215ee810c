-- Rows that the recorder puts itself, one each canary.interval, to see how long a row takes from put to here; each says what an earlier
-- one took. With this table under `tables:` the recorder puts them.
CREATE TABLE IF NOT EXISTS recorder_canary
(
    ts DateTime64(9, 'UTC') COMMENT 'when the row was put' CODEC(Delta, ZSTD(1)),
    namespace LowCardinality(String) COMMENT 'of the recorder',
    number UInt64 COMMENT 'counts the rows put since the region was made' CODEC(Delta, ZSTD(1)),
    arrived UInt64 COMMENT 'how many of the earlier ones had been acknowledged when this one was put' CODEC(Delta, ZSTD(1)),
    durable_us UInt64 COMMENT 'of the last that was acknowledged: from put until it was durable; 0: none yet' CODEC(ZSTD(1)),
    delivered_us UInt64 COMMENT 'of the same: from put to ClickHouse''s acknowledgement' CODEC(ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (namespace, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'how long a row takes from put to ClickHouse';
