SELECT limit_key, name, is_async, max_running, free_at, {clock} AS now, open_at,
    weight, turn_left, held_from, held_from_id::text, line_from, line_from_id::text
FROM offload_limitkey
WHERE parent = %(parent)s AND open_at <= {clock}
    AND backend IN (%(backend)s, '')
    AND (queue_name = '' OR queue_name <> ALL (%(excluded)s::text[])
        AND (queue_name = ANY (%(queues)s::text[]) OR %(queues)s::text[] = '{}'))
    AND (is_async IS NULL OR is_async = ANY (%(kinds)s::boolean[]))
ORDER BY open_at
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
