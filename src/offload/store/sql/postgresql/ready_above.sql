-- One floor after the other, the most urgent first, until there are enough.
SELECT above.id, above.priority, above.run_after
FROM (
    SELECT priority, run_after, id
    FROM unnest(
        %(floor_queue_name)s::text[], %(floor_is_async)s::boolean[], %(floor_priority)s::smallint[],
        %(floor_run_after)s::bigint[], %(floor_id)s::uuid[]
    ) AS each_floor (queue_name, is_async, priority, run_after, id)
    WHERE each_floor.queue_name = queue.name AND each_floor.is_async = wanted.is_async
    ORDER BY priority DESC
) AS floor
CROSS JOIN LATERAL (
    SELECT id, priority, run_after FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = queue.name AND is_async = wanted.is_async
        AND priority = floor.priority AND (run_after, id) >= (floor.run_after, floor.id)
    ORDER BY run_after, id
    LIMIT wanted.each
    FOR NO KEY UPDATE SKIP LOCKED
) AS above
LIMIT wanted.each
