UPDATE offload_job SET state = {READY}, version = version + 1
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED}
        AND run_after <= {clock}
    ORDER BY run_after
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
))
