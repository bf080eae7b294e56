SELECT id, task_path FROM offload_job
WHERE state = {READY} AND backend = %(backend)s
    AND queue_name = %(queue)s AND is_async = %(is_async)s AND priority = %(priority)s
    AND (run_after, id) >= (%(run_after)s, %(id)s)
ORDER BY run_after, id
LIMIT %(limit)s
