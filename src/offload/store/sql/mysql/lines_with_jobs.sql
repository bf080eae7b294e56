(SELECT limit_slot FROM offload_job FORCE INDEX (offload_job_limited)
WHERE limit_slot = %s LIMIT 1)
