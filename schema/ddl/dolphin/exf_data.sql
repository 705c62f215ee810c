-- External factors, one row about every half second. The columns are fixed by the programs that read this table, hence no provenance columns.
-- Partition and order are of this design; the system's reference gives the columns only.
CREATE TABLE IF NOT EXISTS exf_data
(
    ts DateTime64(6, 'UTC') COMMENT 'when they were fetched' CODEC(Delta, ZSTD(1)),
    funding_rate Float32 COMMENT 'funding rate of BTC' CODEC(ZSTD(1)),
    dvol Float32 COMMENT 'implied volatility, Deribits DVOL' CODEC(ZSTD(1)),
    fear_greed Float32 COMMENT 'fear and greed index' CODEC(ZSTD(1)),
    taker_ratio Float32 COMMENT 'taker buys over taker sells' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY ts
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'external factors';
