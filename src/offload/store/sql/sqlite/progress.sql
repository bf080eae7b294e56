-- ?1 id, ?2 run, ?3 whether this very transaction has finished it, ?4 progress.
UPDATE offload_job SET version = version + 1, progress = ?4
WHERE id = ?1 AND run = ?2 AND (?3 OR state = {RUNNING})
