-- How many a claim above a floor may ask for. If it found fewer it would go on behind its range, to
-- the next entry that is alive, and lock each dead one on its way; to count them costs far less.
-- (`fence` is not in the index, or InnoDB would not check the range before it reads a row.)
SELECT COUNT(*) FROM (
    SELECT fence FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = %(queue)s AND is_async = %(is_async)s {above}
    LIMIT %(limit)s
) AS waiting
