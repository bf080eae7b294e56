DELETE FROM offload_limitkey
WHERE limit_key = %(limit_key)s
    AND NOT EXISTS (SELECT 1 FROM offload_job WHERE limit_slot = CONCAT('w:', %(limit_key)s))
