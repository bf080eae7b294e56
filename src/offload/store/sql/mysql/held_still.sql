-- Locks in the order of their ids, and waits: whose fence is still the same may be written.
SELECT id, fence FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {RUNNING}
ORDER BY id
FOR UPDATE
