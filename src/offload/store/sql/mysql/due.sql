SELECT id, limit_key FROM offload_job FORCE INDEX (offload_job_scheduled)
WHERE state = {SCHEDULED}
    AND run_after <= {clock}
ORDER BY run_after
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
