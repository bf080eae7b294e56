SELECT -priority, run_after, id FROM offload_job
WHERE state = {READY} AND backend = :backend AND queue_name = :queue AND is_async = :is_async
ORDER BY priority DESC, run_after, id
LIMIT :limit
