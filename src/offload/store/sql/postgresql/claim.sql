WITH picked AS MATERIALIZED (
    SELECT ready.id,
        row_number() OVER (
            PARTITION BY wanted.is_async ORDER BY ready.priority DESC, ready.run_after, ready.id
        ) <= wanted.room AS fits
    FROM (
        VALUES (FALSE, %(threads)s, %(threads_each)s), (TRUE, %(slots)s, %(slots_each)s)
    ) AS wanted (is_async, room, each)
    CROSS JOIN unnest(%(queues)s::text[]) AS queue (name)
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
    worker = %(worker)s,
    last_attempted_at = (extract(epoch FROM statement_timestamp()) * 1000000)::bigint,
    started_at = coalesce(
        started_at, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
    )
WHERE id = ANY (ARRAY(SELECT id FROM picked WHERE fits))
RETURNING
    id::text, fence, attempt, task_path, arguments, is_async, backend, queue_name, priority,
    run_after, expires_at, enqueued_at, started_at, last_attempted_at, timeout, max_attempts,
    worker_losses, max_worker_losses, owner, tenant, request_id, worker::text
