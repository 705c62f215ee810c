-- Of the simulator: lossy, with a pressure ladder; its rows can be told apart in ClickHouse.
CREATE TABLE sim_quotes
(
    number UInt64 COMMENT 'of the row, among all that are put',
    key UInt32,
    value UInt32,
    poison UInt8 COMMENT '1: a constraint refuses the row while it stands',
    note String,
    _cp_epoch UInt64,
    _cp_slot UInt16,
    _cp_position UInt64
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
