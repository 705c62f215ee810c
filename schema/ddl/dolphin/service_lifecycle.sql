-- Starts and ends of services. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS service_lifecycle
(
    ts DateTime64(6, 'UTC') COMMENT 'when it happened' CODEC(Delta, ZSTD(1)),
    service LowCardinality(String) COMMENT 'the service',
    event LowCardinality(String) COMMENT 'START or EXIT',
    reason String COMMENT 'NORMAL_START, SIGTERM, NORMAL_EXIT' CODEC(ZSTD(1)),
    exit_code Int16 COMMENT 'of the process',
    signal_num Int16 COMMENT 'signal that ended it; 0: none',
    pid UInt32 COMMENT 'process id' CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (service, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'starts and ends of services';
