-- State of the adaptive circuit breaker, one row about every 30 s. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS acb_state
(
    ts DateTime64(6, 'UTC') COMMENT 'when it was taken' CODEC(Delta, ZSTD(1)),
    boost Float32 COMMENT 'leverage multiplier, 1 or more' CODEC(ZSTD(1)),
    beta Float32 COMMENT 'risk scaling factor' CODEC(ZSTD(1)),
    signals Float32 COMMENT 'quality of the signals' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY ts
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'state of the circuit breaker';
