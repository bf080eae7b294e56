-- A key of which no job waits stays closed: the next job adds a notice.
UPDATE offload_limitkey SET
    turn_left = CASE WHEN open_at IS NULL THEN 0 ELSE turn_left END,
    open_at = CASE
        WHEN limit_key <> name AND NOT EXISTS (
            SELECT 1 FROM offload_job WHERE limit_slot = %(line)s
        ) THEN open_at
        WHEN open_at < {clock} THEN open_at
        ELSE {clock} END,
    parent = %(parent)s,
    backend = CASE WHEN coalesce(%(backend)s, backend) = backend THEN backend ELSE '' END,
    queue_name = CASE WHEN coalesce(%(queue_name)s, queue_name) = queue_name
        THEN queue_name ELSE '' END,
    is_async = CASE WHEN coalesce(%(is_async)s, is_async) = is_async THEN is_async END,
    max_running = CASE WHEN %(is_known)s THEN %(max_running)s ELSE max_running END,
    weight = CASE WHEN %(is_known)s THEN %(weight)s ELSE weight END
WHERE limit_key = %(limit_key)s
