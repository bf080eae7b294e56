SELECT
    name, source, backend, task_path, arguments, priority, queue_name, job, cron, every, timezone,
    start_at, end_at, jitter, catch_up, deadline, overlap, error,
    next_tick_at, next_run_at, paused_until, held_since, last_job,
    {clock}
FROM offload_schedule
WHERE next_run_at <= {clock} ORDER BY next_run_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
