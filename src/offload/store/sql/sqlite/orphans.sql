-- Left to itself SQLite walks the whole table, for the sake of an order that nobody needs.
SELECT {claim_columns} FROM offload_job AS job INDEXED BY offload_job_running
WHERE state = {RUNNING}
    AND NOT EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = job.worker)
LIMIT %(limit)s
