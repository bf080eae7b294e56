SELECT id FROM offload_job FORCE INDEX (offload_job_scheduled)
WHERE state = {SCHEDULED}
    AND run_after <= TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))
ORDER BY run_after
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
