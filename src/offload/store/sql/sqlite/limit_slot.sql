, limit_slot = CASE WHEN ?3 = {LIMITED} AND cancel_requested_at IS NULL
        THEN 'w:' || limit_key END
