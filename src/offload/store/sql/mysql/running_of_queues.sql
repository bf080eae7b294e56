SELECT queue_name, count(*) FROM offload_job FORCE INDEX (offload_job_running)
WHERE state = {RUNNING} AND backend = %(backend)s AND queue_name IN %(names)s
GROUP BY queue_name
