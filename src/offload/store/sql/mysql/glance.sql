-- The first queue with ready jobs, and the microseconds until the next scheduled job is due.
SELECT (
    SELECT MIN(queue_name) FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
), (
    SELECT run_after FROM offload_job FORCE INDEX (offload_job_scheduled)
    WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock}
