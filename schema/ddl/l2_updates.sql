-- Order-book changes, one row for every price level that an update of the venue touched.
--
-- Sorted by symbol for the usual question, one book over a span of time; a day is a partition, so that old days can be
-- dropped at no cost. Prices and quantities are exact decimals, as the venue sent them.
CREATE TABLE IF NOT EXISTS l2_updates
(
    recv_ts DateTime64(9, 'UTC') COMMENT 'when the update was received' CODEC(Delta, ZSTD(1)),
    exch_ts Nullable(DateTime64(3, 'UTC')) COMMENT 'the venue''s time, if it gave one; may lie ahead of recv_ts' CODEC(Delta, ZSTD(1)),
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    first_update_id UInt64 COMMENT 'the first of the venue''s update numbers folded into this update' CODEC(Delta, ZSTD(1)),
    final_update_id UInt64 COMMENT 'the last of them' CODEC(Delta, ZSTD(1)),
    side Enum8('B' = 1, 'A' = 2) COMMENT 'B: bid, A: ask',
    price Decimal(18, 8) COMMENT 'of the level' CODEC(T64, ZSTD(1)),
    qty Decimal(18, 8) COMMENT 'now resting at it; 0: the level is gone' CODEC(T64, ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(recv_ts)
ORDER BY (symbol, venue, recv_ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'order-book changes';
