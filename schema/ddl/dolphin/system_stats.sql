-- Host statistics, memory, load and network. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS system_stats
(
    ts DateTime64(3, 'UTC') COMMENT 'when the sample was taken' CODEC(Delta, ZSTD(1)),
    mem_used_gb Float32 COMMENT 'memory in use, GB' CODEC(ZSTD(1)),
    mem_available_gb Float32 COMMENT 'memory available to programs, GB' CODEC(ZSTD(1)),
    mem_pct Float32 COMMENT 'memory in use, percent' CODEC(ZSTD(1)),
    load_1m Float32 COMMENT 'load average over one minute' CODEC(ZSTD(1)),
    load_5m Float32 COMMENT 'over five minutes' CODEC(ZSTD(1)),
    load_15m Float32 COMMENT 'over fifteen minutes' CODEC(ZSTD(1)),
    net_rx_mb_s Float32 COMMENT 'received on net_iface, MB/s' CODEC(ZSTD(1)),
    net_tx_mb_s Float32 COMMENT 'sent on it, MB/s' CODEC(ZSTD(1)),
    net_iface LowCardinality(String) COMMENT 'the network interface'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY ts
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'host statistics';
