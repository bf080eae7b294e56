-- The ids come sorted and the plan is a nested loop over them, as in finish.sql. It waits for no
-- lock: whoever holds a running job's row, by `cancel()` in a long transaction, holds up nobody.
-- `finished` are jobs that this very transaction has finished, and so found to be its own.
WITH free AS MATERIALIZED (
    SELECT job.id, moved.progress
    FROM unnest(
        %(ids)s::uuid[], %(fences)s::int[], %(finished)s::bool[], %(progress)s::text[]
    ) AS moved (id, fence, finished, progress)
    JOIN offload_job AS job ON job.id = moved.id
    WHERE job.fence = moved.fence AND (moved.finished OR job.state + 0 = {RUNNING})
    FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE offload_job AS job SET version = job.version + 1, progress = free.progress
FROM free WHERE job.id = free.id
RETURNING job.id::text, job.fence
