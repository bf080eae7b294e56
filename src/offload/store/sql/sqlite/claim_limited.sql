UPDATE offload_job SET
    state = {RUNNING},
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    unique_key = CASE WHEN unique_until > {RUNNING} OR unique_within > %(now)s
        THEN unique_key END,
    worker = %(worker)s,
    last_attempted_at = %(now)s,
    started_at = coalesce(started_at, %(now)s),
    limit_slot = 'h:' || limit_key
WHERE id IN (
    SELECT id FROM offload_job
    WHERE limit_slot = 'w:' || %(limit_key)s AND backend = %(backend)s
        AND is_async IN (SELECT value FROM json_each(%(kinds)s))
        AND queue_name NOT IN (SELECT value FROM json_each(%(excluded)s))
        AND (%(queues)s = '[]' OR queue_name IN (SELECT value FROM json_each(%(queues)s)))
    ORDER BY priority DESC, run_after, id
    LIMIT %(count)s
)
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = %(worker)s)
RETURNING {claim_columns}
