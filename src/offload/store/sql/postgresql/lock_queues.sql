-- A row that another worker has locked is skipped: it claims jobs of that queue.
SELECT name, limits, free_at, {clock} FROM offload_queue
WHERE backend = %(backend)s AND name = ANY (%(names)s::text[])
ORDER BY name
FOR NO KEY UPDATE SKIP LOCKED
