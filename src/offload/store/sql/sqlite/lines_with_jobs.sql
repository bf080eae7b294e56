SELECT value FROM json_each(%(lines)s)
WHERE EXISTS (SELECT 1 FROM offload_job WHERE limit_slot = value)
