SELECT id, task_path FROM offload_job FORCE INDEX (offload_job_ready)
WHERE state = {READY} AND backend = %(backend)s
    AND queue_name = %(queue)s AND is_async = %(is_async)s {above.sql}
ORDER BY run_after, id
LIMIT %(limit)s
