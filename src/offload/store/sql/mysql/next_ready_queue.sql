SELECT (
    SELECT queue_name FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s AND queue_name > %(after)s
    ORDER BY queue_name LIMIT 1
)
