-- The posture that holds now.
CREATE VIEW IF NOT EXISTS v_current_posture AS
SELECT posture, rm, trigger, ts
FROM posture_events
ORDER BY ts DESC
LIMIT 1;
