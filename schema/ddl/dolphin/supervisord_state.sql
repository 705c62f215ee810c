-- State of every supervised process, sampled and at changes. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS supervisord_state
(
    ts DateTime64(6, 'UTC') COMMENT 'when the state was seen' CODEC(Delta, ZSTD(1)),
    process_name LowCardinality(String) COMMENT 'the service',
    group_name LowCardinality(String) COMMENT 'its group: dolphin_data or dolphin',
    state LowCardinality(String) COMMENT 'RUNNING, STOPPED, EXITED',
    pid UInt32 COMMENT 'process id' CODEC(T64, ZSTD(1)),
    uptime_s UInt32 COMMENT 'seconds since its start' CODEC(T64, ZSTD(1)),
    exit_status Int16 COMMENT 'exit code of the last run',
    source LowCardinality(String) COMMENT 'who reported the state'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (process_name, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'states of processes';
