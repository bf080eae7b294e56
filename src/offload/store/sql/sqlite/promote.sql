UPDATE offload_job SET
    state = CASE WHEN limit_key IS NULL THEN {READY} ELSE {LIMITED} END,
    limit_slot = 'w:' || limit_key,
    version = version + 1
WHERE id IN (
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED} AND run_after <= :now
    ORDER BY run_after
    LIMIT :limit
)
RETURNING limit_key
