SELECT limit_slot, count(*) FROM offload_job FORCE INDEX (offload_job_limited)
WHERE limit_slot IN %(slots)s GROUP BY limit_slot
