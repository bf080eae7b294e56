, limit_slot = CASE WHEN %(state)s = {LIMITED} AND cancel_requested_at IS NULL
        THEN CONCAT('w:', limit_key) END
