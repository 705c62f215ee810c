-- The last known state of every process.
CREATE VIEW IF NOT EXISTS v_process_health AS
SELECT
    process_name,
    argMax(group_name, ts) AS group_name,
    argMax(state, ts) AS state,
    argMax(pid, ts) AS pid,
    argMax(uptime_s, ts) AS uptime_s,
    max(ts) AS last_seen
FROM supervisord_state
GROUP BY process_name;
