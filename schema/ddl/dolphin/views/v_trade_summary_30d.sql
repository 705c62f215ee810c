-- Trades of the last 30 days by strategy.
CREATE VIEW IF NOT EXISTS v_trade_summary_30d AS
SELECT
    strategy,
    count() AS n_trades,
    countIf(pnl > 0) AS wins,
    round(100 * countIf(pnl > 0) / count(), 2) AS win_rate_pct,
    sum(pnl) AS total_pnl,
    avg(pnl_pct) AS avg_pnl_pct,
    median(pnl_pct) AS median_pnl_pct,
    max(drawdown_at_entry) AS max_dd_seen_pct
FROM trade_events
WHERE ts >= now() - INTERVAL 30 DAY
GROUP BY strategy
ORDER BY strategy;
