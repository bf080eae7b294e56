SELECT queue_name, count(*) FROM offload_job
WHERE state = {RUNNING} AND backend = %(backend)s AND queue_name = ANY (%(names)s::text[])
GROUP BY queue_name
