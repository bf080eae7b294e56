, limit_slot = CASE WHEN finished.state = {LIMITED} AND job.cancel_requested_at IS NULL
        THEN 'w:' || job.limit_key END
