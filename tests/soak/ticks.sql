-- What the soak test's producers put: everything in a row follows from who and number (put_soak.c, test_soak.py).
CREATE TABLE IF NOT EXISTS ticks
(who LowCardinality(String), number UInt64, at DateTime64(9, 'UTC'), price Decimal(18, 8), qty Float64, note String,
 code Nullable(Int32), _cp_epoch UInt64, _cp_slot UInt16, _cp_position UInt64)
ENGINE = MergeTree ORDER BY (who, number) SETTINGS non_replicated_deduplication_window = 10000
