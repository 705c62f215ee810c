-- Changes of the system posture. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS posture_events
(
    ts DateTime64(6, 'UTC') COMMENT 'when the posture changed' CODEC(Delta, ZSTD(1)),
    posture LowCardinality(String) COMMENT 'the new one: APEX, TURTLE or HIBERNATE',
    rm Float32 COMMENT 'risk metric at the change' CODEC(ZSTD(1)),
    prev_posture LowCardinality(String) COMMENT 'the one before',
    trigger String COMMENT 'JSON: the values of categories 1 to 4 that caused it' CODEC(ZSTD(1)),
    scan_uuid String COMMENT 'UUIDv7 that traces the change to its scan' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY ts
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'posture changes';
