-- At most as many rows of each kind are read as may wait. The order is that of an index: else the
-- planner might scan the whole table.
SELECT (
    SELECT count(*) FROM (
        SELECT 1 AS one FROM offload_job
        WHERE state = {READY} AND backend = %(backend)s AND queue_name = %(queue)s
        ORDER BY is_async, priority DESC, run_after, id
        LIMIT %(limit)s
    ) AS ready_jobs
) + (
    SELECT count(*) FROM (
        SELECT 1 AS one FROM offload_job
        WHERE limit_slot >= 'p:' AND limit_slot < 'w;'
            AND backend = %(backend)s AND queue_name = %(queue)s
        ORDER BY limit_slot, priority DESC, run_after, id
        LIMIT %(limit)s
    ) AS limited_jobs
)
