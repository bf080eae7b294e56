SELECT * FROM (
    SELECT id, priority, run_after FROM offload_job
    WHERE state = {READY} AND backend = :backend AND queue_name = :queue{n} AND is_async = :is_async
    ORDER BY priority DESC, run_after, id
    LIMIT :limit{n}
)
