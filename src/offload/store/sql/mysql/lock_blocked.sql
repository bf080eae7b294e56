SELECT id, workflow, run_when, waiting_on, run_after <= {clock}, limit_key,
    cancel_requested_at IS NOT NULL
FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {BLOCKED}
ORDER BY id
FOR UPDATE
