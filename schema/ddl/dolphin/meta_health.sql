-- What the meta health service found, one row about every 10 s. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS meta_health
(
    ts DateTime64(6, 'UTC') COMMENT 'when it was found' CODEC(Delta, ZSTD(1)),
    status LowCardinality(String) COMMENT 'GREEN, YELLOW or RED',
    rm_meta Float32 COMMENT 'aggregate health, 0 to 1' CODEC(ZSTD(1)),
    m1_data_infra Float32 COMMENT 'health of the data infrastructure' CODEC(ZSTD(1)),
    m1_trader Float32 COMMENT 'of the traders process' CODEC(ZSTD(1)),
    m2_heartbeat Float32 COMMENT 'freshness of heartbeats' CODEC(ZSTD(1)),
    m3_data_freshness Float32 COMMENT 'freshness of scan data' CODEC(ZSTD(1)),
    m4_control_plane Float32 COMMENT 'health of the control plane' CODEC(ZSTD(1)),
    m5_coherence Float32 COMMENT 'coherence of state across services' CODEC(ZSTD(1)),
    m6_test_integrity Float32 COMMENT 'whether the test gates pass' CODEC(ZSTD(1)),
    service_status String COMMENT 'JSON: state of every service' CODEC(ZSTD(1)),
    hz_key_status String COMMENT 'freshness of the shared maps keys' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY ts
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'meta health';
