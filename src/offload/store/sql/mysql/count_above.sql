-- How many jobs a claim above a watermark may request. A claim that finds fewer than it requests
-- reads on behind its range, up to the next live index entry, and locks each dead entry on its way.
-- Counting first costs far less. (`fence` is not in the index: otherwise InnoDB would not check the
-- range before it reads a row.)
SELECT COUNT(*) FROM (
    SELECT fence FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = %(queue)s AND is_async = %(is_async)s {above}
    LIMIT %(limit)s
) AS available
