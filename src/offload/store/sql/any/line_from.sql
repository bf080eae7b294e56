SELECT id, task_path FROM offload_job
WHERE limit_slot = %(line)s AND backend = %(backend)s AND priority = %(priority)s
    AND (run_after, id) >= (%(run_after)s, %(id)s)
ORDER BY run_after, id
LIMIT %(limit)s
