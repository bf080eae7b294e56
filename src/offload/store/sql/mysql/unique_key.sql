, unique_key = CASE WHEN unique_within > {clock}
        OR %(state)s < {RUNNING} AND cancel_requested_at IS NULL
        THEN unique_key END
