-- ?1 id, ?2 fence, ?3 state, ?4 delay, ?5 discount, ?6 loss, ?7 return value, ?8 now.
-- Numbered, because building a dict for each job takes a tenth of the statement's time.
UPDATE offload_job SET
    state = CASE WHEN ?3 <= {READY} AND cancel_requested_at IS NOT NULL
        THEN {CANCELLED} ELSE ?3 END,
    version = version + 1,
    attempt = attempt - ?5,
    worker_losses = worker_losses + ?6,
    run_after = CASE WHEN ?4 > 0 AND cancel_requested_at IS NULL THEN ?8 + ?4 ELSE run_after END,
    finished_at = CASE WHEN ?3 >= {SUCCESSFUL} OR cancel_requested_at IS NOT NULL
        THEN ?8 END,
    return_value = ?7
    {limit_slot}
    {unique_key}
WHERE id = ?1 AND fence = ?2 AND state = {RUNNING}
