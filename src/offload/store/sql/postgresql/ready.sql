SELECT id, priority, run_after FROM offload_job
WHERE state = {READY} AND backend = %(backend)s
    AND queue_name = queue.name AND is_async = kind.is_async
ORDER BY priority DESC, run_after, id
LIMIT {per_queue}
FOR NO KEY UPDATE SKIP LOCKED
