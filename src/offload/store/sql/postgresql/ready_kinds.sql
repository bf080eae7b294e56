SELECT queue.name, EXISTS (
    SELECT FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = queue.name AND is_async = FALSE
), EXISTS (
    SELECT FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = queue.name AND is_async = TRUE
)
FROM unnest(%(names)s::text[]) AS queue (name)
