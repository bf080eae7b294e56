SELECT id, task_path FROM offload_job FORCE INDEX (offload_job_limited)
WHERE limit_slot = %(line)s AND backend = %(backend)s {above.sql}
ORDER BY run_after, id
LIMIT %(limit)s
