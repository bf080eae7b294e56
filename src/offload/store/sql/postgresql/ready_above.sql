-- From one watermark after the other, the most urgent first, until the limit is reached.
SELECT above.id, above.priority, above.run_after
FROM (
    SELECT priority, run_after, id
    FROM unnest(
        %(watermark_queue_name)s::text[], %(watermark_is_async)s::boolean[],
        %(watermark_priority)s::smallint[], %(watermark_run_after)s::bigint[],
        %(watermark_id)s::uuid[]
    ) AS watermark (queue_name, is_async, priority, run_after, id)
    WHERE watermark.queue_name = queue.name AND watermark.is_async = kind.is_async
    ORDER BY priority DESC
) AS start
CROSS JOIN LATERAL (
    SELECT id, priority, run_after FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = queue.name AND is_async = kind.is_async
        AND priority = start.priority AND (run_after, id) >= (start.run_after, start.id)
    ORDER BY run_after, id
    LIMIT {per_queue}
    FOR NO KEY UPDATE SKIP LOCKED
) AS above
LIMIT {per_queue}
