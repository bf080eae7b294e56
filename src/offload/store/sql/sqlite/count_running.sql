SELECT limit_slot, count(*) FROM offload_job
WHERE limit_slot IN (SELECT value FROM json_each(%(slots)s)) GROUP BY limit_slot
