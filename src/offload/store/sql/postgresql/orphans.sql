-- Those of plain Celery tasks belong to Celery's workers.
SELECT {claim_columns} FROM offload_job job
WHERE state = {RUNNING} AND worker <> %(rescuer)s
    AND backend <> 'offload://'
    AND NOT EXISTS (SELECT FROM offload_worker WHERE offload_worker.id = job.worker)
ORDER BY id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
