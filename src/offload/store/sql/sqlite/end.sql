-- As finish.sql, for an attempt that counts and ends the job: it writes no column of the indexes of
-- waiting jobs but the state.
UPDATE offload_job SET
    state = ?3,
    version = version + 1,
    finished_at = ?8,
    return_value = ?7
    {limit_slot}
    {unique_key}
WHERE id = ?1 AND fence = ?2 AND state = {RUNNING}
