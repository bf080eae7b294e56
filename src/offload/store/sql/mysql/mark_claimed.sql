-- Without the forced primary key InnoDB may scan, and so lock, other rows.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    state = {RUNNING},
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    worker = %(worker)s,
    last_attempted_at = %(now)s,
    started_at = COALESCE(started_at, %(now)s)
WHERE id IN %(ids)s
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = %(worker)s)
