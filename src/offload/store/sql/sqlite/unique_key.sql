, unique_key = CASE WHEN unique_within > ?8
        OR ?3 < {RUNNING} AND cancel_requested_at IS NULL
        THEN unique_key END
