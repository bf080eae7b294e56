SELECT limit_key, name, is_async, max_running, free_at, {clock} AS now, open_at,
    weight, turn_left
FROM offload_limitkey
WHERE parent = %(parent)s AND open_at <= {clock}
    AND backend IN (%(backend)s, '')
    AND (queue_name = '' OR queue_name NOT IN (SELECT value FROM json_each(%(excluded)s))
        AND (%(queues)s = '[]' OR queue_name IN (SELECT value FROM json_each(%(queues)s))))
    AND (is_async IS NULL OR is_async IN (SELECT value FROM json_each(%(kinds)s)))
ORDER BY open_at
LIMIT %(limit)s
