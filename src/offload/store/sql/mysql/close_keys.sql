UPDATE offload_limitkey SET
    free_at = %(free_at)s,
    turn_left = %(turn_left)s,
    open_at = CASE WHEN %(open_at)s IS NOT NULL AND EXISTS (
        SELECT 1 FROM offload_job WHERE limit_slot = CONCAT('w:', %(limit_key)s)
    ) THEN %(open_at)s END
WHERE limit_key = %(limit_key)s
