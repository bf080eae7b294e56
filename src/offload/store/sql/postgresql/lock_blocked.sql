-- The rows are locked in the order of their ids, after they were sorted.
SELECT id::text, workflow::text, run_when, waiting_on, run_after <= {clock}, limit_key,
    cancel_requested_at IS NOT NULL
FROM offload_job
WHERE id = ANY (%(ids)s::uuid[]) AND state + 0 = {BLOCKED}
ORDER BY id
FOR NO KEY UPDATE
