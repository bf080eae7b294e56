-- The first queue with ready jobs, and the microseconds until the next scheduled job is due.
SELECT (
    SELECT queue_name FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
    ORDER BY queue_name LIMIT 1
), (
    SELECT run_after FROM offload_job FORCE INDEX (offload_job_scheduled)
    WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock}
