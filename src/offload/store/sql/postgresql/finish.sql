-- The ids are sorted and the plan is a nested loop over them (`_prepare_transaction` sees to that),
-- so rows are locked in the order of their ids. The statement waits for locks, because another
-- worker's claim may hold some that it does not use. "+ 0" keeps the planner from the index of
-- running jobs: a long transaction elsewhere keeps dead entries there, and each batch would take
-- longer than the one before. The clock is in a SELECT of its own, or it would be computed for each
-- row, which takes a microsecond each time.
UPDATE offload_job AS job SET
    state = CASE WHEN finished.state <= {READY} AND job.cancel_requested_at IS NOT NULL
        THEN {CANCELLED} ELSE finished.state END,
    version = job.version + 1,
    attempt = job.attempt - finished.discount,
    worker_losses = job.worker_losses + finished.loss,
    run_after = CASE WHEN finished.delay > 0 AND job.cancel_requested_at IS NULL
        THEN finished.now + finished.delay ELSE job.run_after END,
    finished_at = CASE WHEN finished.state >= {SUCCESSFUL} OR job.cancel_requested_at IS NOT NULL
        THEN finished.now END,
    return_value = finished.return_value
    {limit_slot}
    {unique_key}
FROM (
    SELECT *, (SELECT {clock}) AS now
    FROM unnest(
        %(ids)s::uuid[], %(fences)s::int[], %(states)s::smallint[], %(delays)s::bigint[],
        %(discounts)s::int[], %(losses)s::int[], %(return_values)s::text[]
    ) AS e (id, fence, state, delay, discount, loss, return_value)
) AS finished
WHERE job.id = finished.id AND job.fence = finished.fence AND job.state + 0 = {RUNNING}
RETURNING job.id::text, job.fence, job.state
