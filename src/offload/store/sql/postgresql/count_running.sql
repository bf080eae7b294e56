SELECT limit_slot, count(*) FROM offload_job
WHERE limit_slot = ANY (%(slots)s::text[]) GROUP BY limit_slot
