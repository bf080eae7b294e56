UPDATE offload_job SET
    state = {RUNNING},
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    unique_key = CASE WHEN unique_until > {RUNNING} OR unique_within > (SELECT {clock})
        THEN unique_key END,
    worker = %(worker)s,
    last_attempted_at = (SELECT {clock}),
    started_at = coalesce(started_at, (SELECT {clock}))
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_job
    WHERE id = ANY (%(ids)s::uuid[]) AND state = {READY} AND backend = %(backend)s
    FOR NO KEY UPDATE SKIP LOCKED
))
    AND EXISTS (SELECT FROM offload_worker WHERE offload_worker.id = %(worker)s)
RETURNING {claim_columns}
