-- A row that another worker has locked is skipped: it claims jobs of that queue.
SELECT name, limits, free_at, {clock} FROM offload_queue FORCE INDEX (offload_queue_once)
WHERE backend = %(backend)s AND name IN %(names)s
ORDER BY name
FOR UPDATE SKIP LOCKED
