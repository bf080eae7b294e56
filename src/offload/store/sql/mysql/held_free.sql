-- As held_still.sql, but waits for no lock.
SELECT id, fence FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {RUNNING}
ORDER BY id
FOR UPDATE SKIP LOCKED
