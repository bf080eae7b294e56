-- ?1 id, ?2 fence, ?3 whether this transaction has finished the job itself, ?4 progress.
UPDATE offload_job SET version = version + 1, progress = ?4
WHERE id = ?1 AND fence = ?2 AND (?3 OR state = {RUNNING})
