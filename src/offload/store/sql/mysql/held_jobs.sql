-- The index is forced for the reason given in claimed_by.sql.
SELECT id, fence, cancel_requested_at IS NOT NULL FROM offload_job FORCE INDEX (offload_job_running)
WHERE state = {RUNNING} AND worker = %(worker)s
