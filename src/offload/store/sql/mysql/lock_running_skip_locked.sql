-- As lock_running.sql, but skips locked rows.
SELECT id, fence, cancel_requested_at IS NOT NULL FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {RUNNING}
ORDER BY id
FOR UPDATE SKIP LOCKED
