WITH picked AS MATERIALIZED (
    SELECT waiting.id
    FROM unnest(
        %(limit_keys)s::text[], %(counts)s::int[], %(line_from)s::bigint[], %(line_from_id)s::uuid[]
    ) AS granted (limit_key, count, line_from, line_from_id)
    CROSS JOIN LATERAL (
        SELECT id FROM offload_job
        WHERE limit_slot = 'w:' || granted.limit_key
            AND (run_after, id) >= (granted.line_from, granted.line_from_id)
            AND backend = %(backend)s
            AND is_async = ANY (%(kinds)s::boolean[])
            AND queue_name <> ALL (%(excluded)s::text[])
            AND (queue_name = ANY (%(queues)s::text[]) OR %(queues)s::text[] = '{}')
        ORDER BY priority DESC, run_after, id
        LIMIT granted.count
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS waiting
)
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
WHERE id = ANY (ARRAY(SELECT id FROM picked))
    AND EXISTS (SELECT FROM offload_worker WHERE offload_worker.id = %(worker)s)
RETURNING {claim_columns}
