-- Finishes jobs whose outcomes differ in nothing but the return value.
-- MySQL assigns from left to right: an expression that reads an old value precedes its assignment.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    finished_at = CASE WHEN %(state)s >= {SUCCESSFUL} OR cancel_requested_at IS NOT NULL
        THEN {clock} END,
    state = CASE WHEN %(state)s <= {READY} AND cancel_requested_at IS NOT NULL
        THEN {CANCELLED} ELSE %(state)s END,
    version = version + 1,
    attempt = attempt - %(discount)s,
    worker_losses = worker_losses + %(loss)s,
    run_after = CASE WHEN %(delay)s > 0 AND cancel_requested_at IS NULL
        THEN {clock} + %(delay)s
        ELSE run_after END,
    return_value = {return_value}
    {limit_slot}
    {unique_key}
WHERE id IN %(ids)s
