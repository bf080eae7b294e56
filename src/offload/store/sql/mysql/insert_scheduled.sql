-- The job of a tick has the same id in every worker. (INSERT IGNORE would also ignore bad data.)
INSERT INTO offload_job (
    limit_key, limit_slot, schedule, scheduled_for,
    id, arguments, state, backend, queue_name, priority, is_async, task_path,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_worker_losses,
    owner, tenant, request_id, parent, failure_depth
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
)
ON DUPLICATE KEY UPDATE id = id
