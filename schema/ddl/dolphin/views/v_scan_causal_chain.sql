-- From scan to trade: every scan with the trades that carry its scan_uuid; scans without a trade have trade_ts NULL.
CREATE VIEW IF NOT EXISTS v_scan_causal_chain AS
SELECT
    s.scan_uuid AS scan_uuid,
    s.ts AS scan_ts,
    s.scan_number AS scan_number,
    s.vel_div AS vel_div,
    s.scan_to_fill_ms AS scan_to_fill_ms,
    t.ts AS trade_ts,
    t.strategy AS strategy,
    t.asset AS asset,
    t.side AS side,
    t.pnl AS pnl,
    t.exit_reason AS exit_reason
FROM eigen_scans AS s
LEFT JOIN
(
    SELECT scan_uuid, toNullable(ts) AS ts, strategy, asset, side, pnl, exit_reason
    FROM trade_events
    WHERE scan_uuid != ''
) AS t ON s.scan_uuid = t.scan_uuid
WHERE s.scan_uuid != '';
