UPDATE offload_job SET state = {READY}
WHERE id IN (
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED} AND run_after <= :now
    ORDER BY run_after
    LIMIT :limit
)
