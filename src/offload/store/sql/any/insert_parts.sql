INSERT INTO offload_job (
    id, arguments, state, backend, queue_name, priority, is_async, task_path,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_worker_losses,
    owner, tenant, request_id, parent, failure_depth,
    limit_key, limit_slot, workflow, run_when, waiting_on, awaited
) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
    %s, %s, %s, %s, %s, %s
)
