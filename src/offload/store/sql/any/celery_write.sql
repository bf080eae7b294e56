-- A report of an earlier attempt, or of an earlier state of the same attempt, changes nothing.
-- Attempt 0 is one that the reporter does not know: it changes only a task that has not ended.
UPDATE offload_job SET
    last_attempted_at = CASE
        WHEN fence < %(fence)s OR last_attempted_at IS NULL THEN %(attempted_at)s
        ELSE last_attempted_at
    END,
    state = %(state)s,
    attempt = GREATEST(attempt, %(attempt)s),
    fence = GREATEST(fence, %(fence)s),
    worker = %(worker)s,
    run_after = COALESCE(%(run_after)s, run_after),
    started_at = COALESCE(started_at, %(started_at)s),
    finished_at = %(finished_at)s,
    progress = %(progress)s,
    return_value = %(return_value)s,
    version = version + 1
WHERE id = %(id)s AND backend = 'offload://' AND (
    fence < %(attempt)s
    OR (fence = %(attempt)s OR %(attempt)s = 0) AND state BETWEEN %(lowest)s AND %(highest)s
)
