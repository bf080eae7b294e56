-- At most as many rows of each kind are read as may wait. Left to itself, the server scans the
-- table while it is small, and keeps the plan.
SELECT (
    SELECT count(*) FROM (
        SELECT 1 AS one FROM offload_job FORCE INDEX (offload_job_ready)
        WHERE state = {READY} AND backend = %(backend)s AND queue_name = %(queue)s
        LIMIT %(limit)s
    ) AS ready_jobs
) + (
    SELECT count(*) FROM (
        SELECT 1 AS one FROM offload_job FORCE INDEX (offload_job_limited)
        WHERE limit_slot >= 'p:' AND limit_slot < 'w;'
            AND backend = %(backend)s AND queue_name = %(queue)s
        LIMIT %(limit)s
    ) AS limited_jobs
)
