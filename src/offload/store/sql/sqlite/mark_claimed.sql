UPDATE offload_job SET
    state = {RUNNING},
    version = version + 1,
    progress = NULL,
    fence = fence + 1,
    attempt = attempt + 1,
    unique_key = CASE WHEN unique_until > {RUNNING} OR unique_within > :now
        THEN unique_key END,
    worker = :worker,
    last_attempted_at = :now,
    started_at = coalesce(started_at, :now)
