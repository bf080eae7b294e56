INSERT INTO offload_job (
    id, arguments, state, backend, queue_name, priority, is_async, task_path,
    run_after, expires_at, enqueued_at, timeout, max_attempts, max_worker_losses,
    owner, tenant, request_id, parent, failure_depth,
    limit_key, limit_slot, workflow, run_when, waiting_on, awaited
)
SELECT * FROM unnest(
    %(id)s::uuid[], %(arguments)s::text[], %(state)s::smallint[], %(backend)s::text[],
    %(queue_name)s::text[], %(priority)s::smallint[], %(is_async)s::boolean[], %(task_path)s::text[],
    %(run_after)s::bigint[], %(expires_at)s::bigint[], %(enqueued_at)s::bigint[],
    %(timeout)s::float[], %(max_attempts)s::int[], %(max_worker_losses)s::int[],
    %(owner)s::text[], %(tenant)s::text[], %(request_id)s::text[], %(parent)s::uuid[],
    %(failure_depth)s::smallint[], %(limit_key)s::text[], %(limit_slot)s::text[],
    %(workflow)s::uuid[], %(run_when)s::smallint[], %(waiting_on)s::int[], %(awaited)s::int[]
)
