-- Locks rows in the order of their ids, and waits for locks. Rows with the same fence may be
-- written afterwards.
SELECT id, fence, cancel_requested_at IS NOT NULL FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {RUNNING}
ORDER BY id
FOR UPDATE
