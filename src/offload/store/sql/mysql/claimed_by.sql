-- Unforced, MySQL may take an index that only starts with the state, and read the running jobs of
-- all workers.
SELECT {claim_columns} FROM offload_job FORCE INDEX (offload_job_running)
WHERE state = {RUNNING} AND worker = %(worker)s
