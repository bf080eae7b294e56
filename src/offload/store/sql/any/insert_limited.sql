INSERT INTO offload_job (
    id, arguments, limit_key, limit_slot, state, backend, queue_name, priority, is_async, task_path,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_worker_losses,
    owner, tenant, request_id, parent, failure_depth
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
)
