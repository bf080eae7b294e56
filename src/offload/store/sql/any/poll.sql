-- As ready_queues, and in the last row the microseconds until the next scheduled job is due.
WITH RECURSIVE queue (name) AS (
    SELECT MIN(queue_name) FROM offload_job WHERE state = {READY} AND backend = %(backend)s
    UNION ALL
    SELECT (
        SELECT MIN(queue_name) FROM offload_job
        WHERE state = {READY} AND backend = %(backend)s AND queue_name > queue.name
    )
    FROM queue WHERE queue.name IS NOT NULL
)
SELECT name, NULL FROM queue WHERE name IS NOT NULL
UNION ALL
SELECT NULL, (
    SELECT run_after FROM offload_job WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock}
