-- Every change of an order's state. Kept for 7 years.
-- The column list is of this design: the recorder's plan names the table and its purpose.
CREATE TABLE IF NOT EXISTS orders
(
    ts DateTime64(9, 'UTC') COMMENT 'when the change was known' CODEC(Delta, ZSTD(1)),
    ts_exchange Nullable(DateTime64(9, 'UTC')) COMMENT 'the venue''s time, if it gave one' CODEC(Delta, ZSTD(1)),
    order_id String COMMENT 'our id of the order' CODEC(ZSTD(1)),
    exchange_order_id String COMMENT 'the venue''s; empty until it answers' CODEC(ZSTD(1)),
    parent_order_id String COMMENT 'the order it was cut from, or empty' CODEC(ZSTD(1)),
    strategy LowCardinality(String) COMMENT 'who sent it',
    account LowCardinality(String) COMMENT 'for which account',
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    side Enum8('BUY' = 1, 'SELL' = 2) COMMENT 'direction',
    order_type LowCardinality(String) COMMENT 'LIMIT, MARKET, STOP …',
    time_in_force LowCardinality(String) COMMENT 'GTC, IOC, FOK …',
    status LowCardinality(String) COMMENT 'NEW, ACKED, PARTIAL, FILLED, CANCELED, REJECTED …',
    price Nullable(Decimal(18, 8)) COMMENT 'limit; NULL for market orders' CODEC(T64, ZSTD(1)),
    qty Decimal(18, 8) COMMENT 'wanted' CODEC(T64, ZSTD(1)),
    filled_qty Decimal(18, 8) COMMENT 'filled so far' CODEC(T64, ZSTD(1)),
    avg_fill_px Nullable(Decimal(18, 8)) COMMENT 'average price of the fills' CODEC(T64, ZSTD(1)),
    reason String COMMENT 'why it was rejected or canceled' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'the process that reported it',
    environment LowCardinality(String) COMMENT 'live, paper, backtest …',
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, order_id)
TTL toDateTime(ts) + INTERVAL 7 YEAR
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'orders';
