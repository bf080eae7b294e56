-- Locks in id order and waits: a claim of somebody else may hold a stray lock for a moment.
WITH ended AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(runs)s::int[], %(states)s::smallint[], %(delays)s::bigint[],
        %(discounts)s::int[], %(losses)s::int[], %(return_values)s::text[]
    ) AS e (id, run, state, delay, discount, loss, return_value)
), held AS MATERIALIZED (
    SELECT
        job.id, ended.delay, ended.discount, ended.loss, ended.return_value,
        CASE WHEN ended.state <= {READY} AND job.cancel_requested_at IS NOT NULL
            THEN {CANCELLED} ELSE ended.state END AS state,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
    FROM ended JOIN offload_job job ON job.id = ended.id
    WHERE job.run = ended.run AND job.state = {RUNNING}
    ORDER BY job.id
    FOR UPDATE OF job
)
UPDATE offload_job job SET
    state = held.state,
    attempt = job.attempt - held.discount,
    lost = job.lost + held.loss,
    run_after = CASE WHEN held.delay > 0 THEN held.now + held.delay ELSE job.run_after END,
    finished_at = CASE WHEN held.state >= {SUCCESSFUL} THEN held.now END,
    return_value = held.return_value
FROM held
WHERE job.id = held.id
RETURNING job.id::text, job.run
