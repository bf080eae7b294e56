INSERT INTO offload_job (
    id, arguments, limit_key, limit_slot, unique_key, unique_until, unique_within,
    state, backend, queue_name, priority, is_async, task_path,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_worker_losses,
    owner, tenant, request_id, parent, failure_depth
)
SELECT
    call.id, call.arguments, call.limit_key, call.limit_slot, call.unique_key, %(until)s::smallint,
    %(within)s::bigint, %(state)s::smallint, %(backend)s::text, %(queue_name)s::text,
    %(priority)s::smallint, %(is_async)s::boolean, %(task_path)s::text, %(run_after)s::bigint,
    %(expires_at)s::bigint, %(enqueued_at)s::bigint, %(timeout)s::float, %(max_attempts)s::int,
    %(max_worker_losses)s::int, %(owner)s::text, %(tenant)s::text, %(request_id)s::text,
    %(parent)s::uuid, %(failure_depth)s::smallint
FROM unnest(
    %(ids)s::uuid[], %(arguments)s::text[], %(limit_keys)s::text[], %(unique_keys)s::text[],
    %(limit_slots)s::text[]
) AS call (id, arguments, limit_key, unique_key, limit_slot)
ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING
RETURNING id
