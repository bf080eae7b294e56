SELECT id, workflow, run_when, waiting_on, run_after <= {clock}, limit_key,
    cancel_requested_at IS NOT NULL
FROM offload_job
WHERE id IN (SELECT value FROM json_each(%(ids)s)) AND state = {BLOCKED}
