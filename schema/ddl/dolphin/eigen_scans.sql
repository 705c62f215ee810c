-- Processed eigenscans of the correlation matrix, one about every 11 s.
-- The columns are fixed by the programs that read this table, hence no provenance columns.
CREATE TABLE IF NOT EXISTS eigen_scans
(
    ts DateTime64(6, 'UTC') COMMENT 'when the scan was made' CODEC(Delta, ZSTD(1)),
    scan_number UInt32 COMMENT 'counts up, scan by scan' CODEC(Delta, ZSTD(1)),
    vel_div Float32 COMMENT 'velocity divergence: w50_velocity - w750_velocity' CODEC(ZSTD(1)),
    w50_velocity Float32 COMMENT 'velocity of the correlation over 50 bars' CODEC(ZSTD(1)),
    w750_velocity Float32 COMMENT 'over 750 bars' CODEC(ZSTD(1)),
    instability_50 Float32 COMMENT 'instability over 50 bars' CODEC(ZSTD(1)),
    scan_to_fill_ms Float32 COMMENT 'latency from scan to fill, ms' CODEC(ZSTD(1)),
    step_bar_ms Float32 COMMENT 'time that the step of the engine took, ms' CODEC(ZSTD(1)),
    scan_uuid String COMMENT 'UUIDv7 that traces a scan to its trades' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, scan_number)
TTL toDateTime(ts) + INTERVAL 10 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'eigenscans';
