-- The row without a name has the microseconds until the next scheduled job is due.
SELECT name, NULL FROM (
    {ready_queues.sql}
) AS ready
UNION ALL
SELECT NULL, (
    SELECT run_after FROM offload_job WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock}
