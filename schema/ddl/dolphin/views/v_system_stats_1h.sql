-- Host statistics of the last hour, in buckets of five minutes.
CREATE VIEW IF NOT EXISTS v_system_stats_1h AS
SELECT
    toStartOfFiveMinutes(ts) AS bucket,
    avg(mem_pct) AS mem_pct_avg,
    avg(load_1m) AS load_avg,
    max(net_rx_mb_s) AS net_rx_peak,
    max(net_tx_mb_s) AS net_tx_peak
FROM system_stats
WHERE ts >= now() - INTERVAL 1 HOUR
GROUP BY bucket
ORDER BY bucket;
