{mark_claimed.sql}
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = {READY} AND backend = :backend
    AND EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = :worker)
RETURNING {claim_columns}
