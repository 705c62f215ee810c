-- Host statistics, sampled several times a second: memory, load, network, and how busy each processor was.
CREATE TABLE IF NOT EXISTS system_stats
(
    ts DateTime64(3, 'UTC') COMMENT 'when the sample was taken' CODEC(DoubleDelta, ZSTD(1)),
    mem_used_gb Float32 COMMENT 'memory in use, GB' CODEC(Gorilla, ZSTD(1)),
    mem_available_gb Float32 COMMENT 'memory available to programs, GB' CODEC(Gorilla, ZSTD(1)),
    mem_pct Float32 COMMENT 'memory in use, percent' CODEC(Gorilla, ZSTD(1)),
    load_1m Float32 COMMENT 'load average over one minute' CODEC(Gorilla, ZSTD(1)),
    load_5m Float32 COMMENT 'over five minutes' CODEC(Gorilla, ZSTD(1)),
    load_15m Float32 COMMENT 'over fifteen minutes' CODEC(Gorilla, ZSTD(1)),
    net_rx_mb_s Float32 COMMENT 'received on net_iface since the last sample, MB/s' CODEC(ZSTD(1)),
    net_tx_mb_s Float32 COMMENT 'sent on it, MB/s' CODEC(ZSTD(1)),
    net_iface LowCardinality(String) COMMENT 'the network interface',
    host LowCardinality(String) COMMENT 'the host that was sampled',
    cpu_busy_pct Array(Float32) COMMENT 'each processor''s share of time not idle since the last sample, percent' CODEC(ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (host, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'host statistics';
