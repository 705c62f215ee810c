-- What the recorder did to a table's rows under pressure, as rows: when a rung of the ladder was climbed or left, and which rows were
-- suppressed, dropped, at risk or lost. With this table under `tables:` the recorder puts its events into it.
CREATE TABLE IF NOT EXISTS recorder_events
(
    ts DateTime64(9, 'UTC') COMMENT 'when it happened' CODEC(Delta, ZSTD(1)),
    namespace LowCardinality(String) COMMENT 'of the recorder',
    `table` LowCardinality(String) COMMENT 'whose rows it is about',
    event LowCardinality(String) COMMENT 'level, suppressed, dropped, early_release_began, early_release_ended or lost',
    level_from UInt8 COMMENT 'rung before: 0 none, 1 suppress, 2 conflate, 3 drop',
    level_to UInt8 COMMENT 'rung after; of other events than level: the rung at the time',
    slot UInt16 COMMENT 'the producer''s slot; of event level: 0',
    ring_epoch UInt64 COMMENT 'of the producer''s ring; of event level: 0' CODEC(ZSTD(1)),
    position_from UInt64 COMMENT 'positions [from, to) of the ring are meant' CODEC(ZSTD(1)),
    position_to UInt64 CODEC(ZSTD(1)),
    `rows` UInt64 COMMENT 'of them: suppressed, dropped or lost; of early_release_began and _ended: 0' CODEC(ZSTD(1)),
    reason String COMMENT 'why, for people' CODEC(ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (`table`, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'what the recorder did under pressure';
