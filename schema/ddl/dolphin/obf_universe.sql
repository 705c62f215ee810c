-- Order-book features of the whole universe, each symbol about twice a second. The columns are fixed by the programs
-- that read this table, hence no provenance columns.
CREATE TABLE IF NOT EXISTS obf_universe
(
    ts DateTime64(3, 'UTC') COMMENT 'when the features were computed' CODEC(Delta, ZSTD(1)),
    symbol LowCardinality(String) COMMENT 'trading pair',
    spread_bps Float32 COMMENT 'bid-ask spread, basis points' CODEC(ZSTD(1)),
    depth_1pct_usd Float64 COMMENT 'depth within 1 % of the mid price, USD' CODEC(ZSTD(1)),
    depth_quality Float32 COMMENT 'quality of the book' CODEC(ZSTD(1)),
    fill_probability Float32 COMMENT 'estimated probability of a fill' CODEC(ZSTD(1)),
    imbalance Float32 COMMENT 'bid/ask imbalance' CODEC(ZSTD(1)),
    best_bid Float64 COMMENT 'best bid' CODEC(ZSTD(1)),
    best_ask Float64 COMMENT 'best ask' CODEC(ZSTD(1)),
    n_bid_levels UInt8 COMMENT 'bid levels seen',
    n_ask_levels UInt8 COMMENT 'ask levels seen'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (symbol, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'order-book features';
