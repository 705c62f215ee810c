-- Best bid and ask, one row for every change that the venue reported.
CREATE TABLE IF NOT EXISTS quotes
(
    recv_ts DateTime64(9, 'UTC') COMMENT 'when the quote was received' CODEC(Delta, ZSTD(1)),
    exch_ts Nullable(DateTime64(3, 'UTC')) COMMENT 'the venue''s time; NULL where it gives none (spot)' CODEC(Delta, ZSTD(1)),
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    update_id UInt64 COMMENT 'the venue''s number of the book''s state' CODEC(Delta, ZSTD(1)),
    bid_px Decimal(18, 8) COMMENT 'best bid' CODEC(T64, ZSTD(1)),
    bid_qty Decimal(18, 8) COMMENT 'resting at it' CODEC(T64, ZSTD(1)),
    ask_px Decimal(18, 8) COMMENT 'best ask' CODEC(T64, ZSTD(1)),
    ask_qty Decimal(18, 8) COMMENT 'resting at it' CODEC(T64, ZSTD(1)),
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
COMMENT 'best quotes';
