-- Public trades of the venue, one row each.
CREATE TABLE IF NOT EXISTS trades
(
    recv_ts DateTime64(9, 'UTC') COMMENT 'when the trade was received' CODEC(Delta, ZSTD(1)),
    exch_ts DateTime64(3, 'UTC') COMMENT 'the venue''s time; may lie ahead of recv_ts' CODEC(Delta, ZSTD(1)),
    venue LowCardinality(String) COMMENT 'usdm, spot …',
    symbol LowCardinality(String) COMMENT 'BTCUSDT …',
    trade_id UInt64 COMMENT 'the venue''s number of the trade' CODEC(Delta, ZSTD(1)),
    price Decimal(18, 8) COMMENT 'paid' CODEC(T64, ZSTD(1)),
    qty Decimal(18, 8) COMMENT 'traded' CODEC(T64, ZSTD(1)),
    buyer_is_maker Bool COMMENT 'true: the seller was the aggressor',
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
COMMENT 'public trades';
