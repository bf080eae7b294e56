-- How many a claim above a floor may ask for. If it found fewer it would go on behind its range, to
-- the next entry that is alive, and lock each dead one on its way; to count them costs far less.
SELECT COUNT(*) FROM (
    SELECT 1 FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
        AND queue_name = %(queue)s AND is_async = %(is_async)s {above}
    LIMIT %(each)s
) AS waiting
