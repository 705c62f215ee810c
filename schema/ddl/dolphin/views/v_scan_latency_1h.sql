-- Latency from scan to fill over the last hour.
CREATE VIEW IF NOT EXISTS v_scan_latency_1h AS
SELECT
    quantile(0.5)(scan_to_fill_ms) AS p50_ms,
    quantile(0.95)(scan_to_fill_ms) AS p95_ms,
    quantile(0.99)(scan_to_fill_ms) AS p99_ms,
    count() AS n_scans,
    now() - INTERVAL 1 HOUR AS window_start
FROM eigen_scans
WHERE ts >= now() - INTERVAL 1 HOUR;
