-- Unforced, an index that only leads with the state is taken too: running jobs of all engines.
SELECT {claim_columns} FROM offload_job FORCE INDEX (offload_job_running)
WHERE state = {RUNNING} AND worker = %(worker)s
