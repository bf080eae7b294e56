WITH picked AS MATERIALIZED (
    SELECT ready.id,
        row_number() OVER (
            PARTITION BY kind.is_async ORDER BY ready.priority DESC, ready.run_after, ready.id
        ) <= kind.count AS fits
    FROM (
        VALUES
            (FALSE, %(sync_slots)s, %(sync_per_queue)s),
            (TRUE, %(async_slots)s, %(async_per_queue)s)
    ) AS kind (is_async, count, per_queue)
    CROSS JOIN {queues}
    CROSS JOIN LATERAL (
        {ready}
    ) AS ready
)
UPDATE offload_job SET
    state = {RUNNING},
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    unique_key = CASE WHEN unique_until > {RUNNING} OR unique_within > {start}
        THEN unique_key END,
    worker = %(worker)s,
    last_attempted_at = {start},
    started_at = coalesce(started_at, {start})
WHERE id = ANY (ARRAY(SELECT id FROM picked WHERE fits))
    AND EXISTS (SELECT FROM offload_worker WHERE offload_worker.id = %(worker)s)
RETURNING {claim_columns}
