{mark_claimed.sql}
WHERE id IN (
    SELECT id FROM ({branches})
    ORDER BY priority DESC, run_after, id
    LIMIT :count
)
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = :worker)
RETURNING {claim_columns}
