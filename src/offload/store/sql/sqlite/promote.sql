UPDATE offload_job SET state = {READY}, version = version + 1
WHERE id IN (
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED} AND run_after <= :now
    ORDER BY run_after
    LIMIT :limit
)
