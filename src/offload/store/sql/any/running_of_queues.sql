SELECT queue_name, count(*) FROM offload_job
WHERE state = {RUNNING} AND backend = %(backend)s
    AND queue_name IN (SELECT value FROM json_each(%(names)s))
GROUP BY queue_name
