-- What changes an account: deposits, withdrawals, fees, funding, realised profit, corrections.
-- The column list is of this design, made from the table's purpose: the system's reference names the table without its columns.
CREATE TABLE IF NOT EXISTS account_events
(
    ts DateTime64(6, 'UTC') COMMENT 'when it took effect' CODEC(Delta, ZSTD(1)),
    event_id String COMMENT 'unique; the venues own id where it gives one' CODEC(ZSTD(1)),
    strategy LowCardinality(String) COMMENT 'blue, green …',
    account LowCardinality(String) COMMENT 'the account',
    event_type LowCardinality(String) COMMENT 'DEPOSIT, WITHDRAWAL, FEE, FUNDING, REALIZED_PNL, ADJUSTMENT …',
    asset LowCardinality(String) COMMENT 'currency of the amounts: USDT …',
    amount Float64 COMMENT 'change; negative: out of the account' CODEC(ZSTD(1)),
    balance_before Float64 COMMENT 'balance before' CODEC(ZSTD(1)),
    balance_after Float64 COMMENT 'balance after' CODEC(ZSTD(1)),
    trade_id String COMMENT 'trade that caused it, or empty' CODEC(ZSTD(1)),
    scan_uuid String COMMENT 'UUIDv7 that traces it to its scan, or empty' CODEC(ZSTD(1)),
    note String COMMENT 'for people' CODEC(ZSTD(1)),
    _cp_epoch UInt64 COMMENT 'provenance: the epoch of the ring the row came through' CODEC(ZSTD(1)),
    _cp_slot UInt16 COMMENT 'provenance: the slot of the producer' CODEC(ZSTD(1)),
    _cp_position UInt64 COMMENT 'provenance: where in the ring the row began; with epoch and slot unique' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (account, ts)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'account events';
