-- What the risk checks said to an order. Kept for 7 years.
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS risk_decisions
(
    ts DateTime64(9, 'UTC') COMMENT 'when it was decided' CODEC(Delta, ZSTD(1)),
    decision_id UUID COMMENT 'unique' CODEC(ZSTD(1)),
    order_id String COMMENT 'the order asked about' CODEC(ZSTD(1)),
    strategy LowCardinality(String) COMMENT 'who asked',
    account LowCardinality(String) COMMENT 'for which account',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    rule LowCardinality(String) COMMENT 'rule that decided',
    decision Enum8('ALLOW' = 1, 'REDUCE' = 2, 'REJECT' = 3) COMMENT 'the answer',
    requested_qty Decimal(18, 8) COMMENT 'asked for' CODEC(T64, ZSTD(1)),
    allowed_qty Decimal(18, 8) COMMENT 'granted' CODEC(T64, ZSTD(1)),
    observed Float64 COMMENT 'value that the rule looked at' CODEC(ZSTD(1)),
    limit_value Float64 COMMENT 'its limit' CODEC(ZSTD(1)),
    reason String COMMENT 'for people' CODEC(ZSTD(1)),
    latency_ns UInt32 COMMENT 'time the checks took' CODEC(T64, ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, decision_id)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'risk decisions';
