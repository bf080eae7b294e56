-- One step of the ready index for each queue, however many jobs wait in it.
WITH RECURSIVE queue (name) AS (
    SELECT MIN(queue_name) FROM offload_job WHERE state = {READY} AND backend = %(backend)s
    UNION ALL
    SELECT (
        SELECT MIN(queue_name) FROM offload_job
        WHERE state = {READY} AND backend = %(backend)s AND queue_name > queue.name
    )
    FROM queue WHERE queue.name IS NOT NULL
)
SELECT name FROM queue WHERE name IS NOT NULL
