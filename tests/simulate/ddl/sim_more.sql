-- Of the simulator: a table that comes and goes with the configuration; nobody puts rows.
CREATE TABLE sim_more
(
    number UInt64 COMMENT 'of the row, among all that are put',
    key UInt32,
    value UInt32,
    poison UInt8 COMMENT '1: a constraint refuses the row while it stands',
    note String
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
