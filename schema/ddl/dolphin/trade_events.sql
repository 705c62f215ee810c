-- Closed trades of a strategy. The columns are fixed by the programs that read this table, hence no provenance columns.
CREATE TABLE IF NOT EXISTS trade_events
(
    ts DateTime64(6, 'UTC') COMMENT 'when the trade was closed' CODEC(Delta, ZSTD(1)),
    date Date COMMENT 'its day',
    strategy LowCardinality(String) COMMENT 'blue, green …',
    asset LowCardinality(String) COMMENT 'BTCUSDT …',
    side LowCardinality(String) COMMENT 'LONG or SHORT',
    entry_price Float64 COMMENT 'price at entry',
    exit_price Float64 COMMENT 'price at exit',
    quantity Float64 COMMENT 'size in units of the asset',
    pnl Float64 COMMENT 'profit or loss, USDT',
    pnl_pct Float32 COMMENT 'the same as a fraction of the notional',
    exit_reason LowCardinality(String) COMMENT 'MAX_HOLD, FIXED_TP …',
    vel_div_entry Float32 COMMENT 'velocity divergence at entry',
    boost_at_entry Float32 COMMENT 'boost of the circuit breaker at entry',
    beta_at_entry Float32 COMMENT 'its beta',
    posture LowCardinality(String) COMMENT 'system posture at entry',
    leverage Float32 COMMENT 'leverage applied',
    regime_signal Int8 COMMENT 'class of the regime',
    capital_before Float64 COMMENT 'capital before the trade',
    capital_after Float64 COMMENT 'capital after it',
    peak_capital Float64 COMMENT 'highest capital so far',
    drawdown_at_entry Float32 COMMENT 'drawdown at entry, percent',
    open_positions_count UInt8 COMMENT 'positions open',
    scan_uuid String COMMENT 'UUIDv7 that traces the trade to its scan' CODEC(ZSTD(1)),
    bars_held UInt16 COMMENT 'bars from entry to exit',
    trade_id String COMMENT 'number of the trade, or empty' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (ts, asset)
-- A plain MergeTree ignores insert_deduplication_token unless it is told to remember some blocks: without this setting a
-- repeated insert, after a lost answer or a restart, would put its rows in twice. 10000 blocks are hours of batches.
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'closed trades';
