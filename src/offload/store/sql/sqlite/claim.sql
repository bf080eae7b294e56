{mark_claimed.sql}
WHERE id IN (
    SELECT ready.id
    FROM json_each(:queues) AS queue
    CROSS JOIN offload_job AS ready ON ready.id IN (
        SELECT id FROM offload_job
        WHERE state = {READY} AND backend = :backend
            AND queue_name = queue.value AND is_async = :is_async
        ORDER BY priority DESC, run_after, id
        LIMIT :per_queue
    )
    ORDER BY ready.priority DESC, ready.run_after, ready.id
    LIMIT :count
)
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = :worker)
RETURNING {claim_columns}
