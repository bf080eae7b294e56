SELECT EXISTS (
    SELECT 1 FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s AND queue_name = %(queue)s AND is_async = FALSE
), EXISTS (
    SELECT 1 FROM offload_job
    WHERE state = {READY} AND backend = %(backend)s AND queue_name = %(queue)s AND is_async = TRUE
)
