-- Without the forced primary key InnoDB may scan, and so lock, other rows. CONCAT returns NULL for a
-- job without a limit.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    state = {RUNNING},
    limit_slot = CONCAT('h:', limit_key),
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    unique_key = CASE WHEN unique_until > {RUNNING} OR unique_within > %(now)s
        THEN unique_key END,
    worker = %(worker)s,
    last_attempted_at = %(now)s,
    started_at = COALESCE(started_at, %(now)s)
WHERE id IN %(ids)s
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = %(worker)s)
