-- SQLite has one writer: the transaction that reads has the lock.
SELECT name, limits, free_at, {clock} FROM offload_queue
WHERE backend = %(backend)s AND name IN (SELECT value FROM json_each(%(names)s))
ORDER BY name
