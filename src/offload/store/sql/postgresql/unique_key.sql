, unique_key = CASE WHEN job.unique_within > finished.now
        OR finished.state < {RUNNING} AND job.cancel_requested_at IS NULL
        THEN job.unique_key END
