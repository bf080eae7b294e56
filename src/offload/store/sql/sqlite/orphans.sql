-- Those of plain Celery tasks belong to Celery's workers.
-- Without the hint SQLite scans the whole table, for an order that is not needed.
SELECT {claim_columns} FROM offload_job AS job INDEXED BY offload_job_running
WHERE state = {RUNNING} AND worker <> %(rescuer)s
    AND backend <> 'offload://'
    AND NOT EXISTS (SELECT 1 FROM offload_worker WHERE offload_worker.id = job.worker)
LIMIT %(limit)s
