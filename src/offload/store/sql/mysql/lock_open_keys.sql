SELECT limit_key, name, is_async, max_running, free_at, {clock} AS now, open_at,
    weight, turn_left
FROM offload_limitkey FORCE INDEX (offload_limitkey_open)
WHERE parent = %(parent)s AND open_at <= {clock}
    AND backend IN (%(backend)s, '')
    AND (queue_name = '' OR {queues})
    AND (is_async IS NULL OR is_async IN %(kinds)s)
ORDER BY open_at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
