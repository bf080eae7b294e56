-- Rows that exist are left out first: ON CONFLICT would wait for a worker that is changing one.
-- LIMIT makes the planner look for them row by row, by the primary key.
INSERT INTO offload_limitkey
    (limit_key, name, parent, backend, queue_name, is_async, max_running, weight, turn_left, free_at,
    open_at)
SELECT new.*, 0, 0, %(open_at)s
FROM unnest(
    %(limit_key)s::text[], %(name)s::text[], %(parent)s::text[], %(backend)s::text[],
    %(queue_name)s::text[], %(is_async)s::boolean[], %(max_running)s::int[],
    %(weight)s::smallint[]
) AS new (limit_key, name, parent, backend, queue_name, is_async, max_running, weight)
WHERE (SELECT TRUE FROM offload_limitkey AS known WHERE known.limit_key = new.limit_key LIMIT 1)
    IS NULL
ON CONFLICT (limit_key) DO NOTHING
RETURNING limit_key
