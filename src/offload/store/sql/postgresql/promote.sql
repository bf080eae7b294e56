-- By statement_timestamp(), as clock_timestamp() opens no range of an index: it may change from row
-- to row, and all scheduled jobs would be read.
UPDATE offload_job SET state = {READY}, version = version + 1
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_job
    WHERE state = {SCHEDULED}
        AND run_after <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
    ORDER BY run_after
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
))
