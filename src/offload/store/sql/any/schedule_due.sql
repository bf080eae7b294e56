(
        SELECT next_run_at FROM offload_schedule
        WHERE next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1
    ) - {clock}
