-- The ids are sorted and the plan is a nested loop over them, as in finish.sql. Locked rows are
-- skipped: a long transaction that called `cancel()` must not hold up other jobs. `finished` marks
-- jobs that this transaction has finished itself, so that their claims were checked.
WITH unlocked AS MATERIALIZED (
    SELECT job.id, reported.progress
    FROM unnest(
        %(ids)s::uuid[], %(fences)s::int[], %(finished)s::bool[], %(progress)s::text[]
    ) AS reported (id, fence, finished, progress)
    JOIN offload_job AS job ON job.id = reported.id
    WHERE job.fence = reported.fence AND (reported.finished OR job.state + 0 = {RUNNING})
    FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE offload_job AS job SET version = job.version + 1, progress = unlocked.progress
FROM unlocked WHERE job.id = unlocked.id
RETURNING job.id::text, job.fence
