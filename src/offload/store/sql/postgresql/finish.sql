-- The ids come sorted and the plan is a nested loop over them (see `_prepare`), so rows are
-- locked in the order of their ids. It waits for locks, as a claim of somebody else may hold a
-- stray one. "+ 0" keeps the planner from the index of the running jobs: with the dead entries
-- that a long transaction pins there, each batch would take longer than the one before.
UPDATE offload_job AS job SET
    state = CASE WHEN ended.state <= {READY} AND job.cancel_requested_at IS NOT NULL
        THEN {CANCELLED} ELSE ended.state END,
    version = job.version + 1,
    attempt = job.attempt - ended.discount,
    lost = job.worker_losses + ended.loss,
    run_after = CASE WHEN ended.delay > 0 THEN ended.now + ended.delay ELSE job.run_after END,
    finished_at = CASE WHEN ended.state >= {SUCCESSFUL} OR job.cancel_requested_at IS NOT NULL
        THEN ended.now END,
    return_value = ended.return_value
FROM (
    SELECT *, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS now
    FROM unnest(
        %(ids)s::uuid[], %(runs)s::int[], %(states)s::smallint[], %(delays)s::bigint[],
        %(discounts)s::int[], %(losses)s::int[], %(return_values)s::text[]
    ) AS e (id, fence, state, delay, discount, loss, return_value)
) AS ended
WHERE job.id = ended.id AND job.fence = ended.fence AND job.state + 0 = {RUNNING}
RETURNING job.id::text, job.fence
