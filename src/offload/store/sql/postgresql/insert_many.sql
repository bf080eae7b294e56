INSERT INTO offload_job (
    id, state, backend, queue_name, priority, is_async, task_path, arguments,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_lost,
    owner, tenant, request_id, parent
)
SELECT new.*
FROM unnest(
    %s::uuid[], %s::smallint[], %s::text[], %s::text[], %s::smallint[], %s::boolean[], %s::text[],
    %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float[], %s::int[], %s::int[],
    %s::text[], %s::text[], %s::text[], %s::uuid[]
) AS new
