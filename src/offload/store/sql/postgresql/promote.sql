UPDATE offload_job SET
    state = CASE WHEN limit_key IS NULL THEN {READY} ELSE {LIMITED} END,
    limit_slot = 'w:' || limit_key,
    version = version + 1
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED}
        AND run_after <= {clock}
    ORDER BY run_after
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
))
RETURNING limit_key
