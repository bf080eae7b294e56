-- There is no UPDATE ... RETURNING: this reads and locks, mark_claimed.sql then writes.
SELECT {claim_columns},
    {clock} AS now
FROM offload_job FORCE INDEX (offload_job_ready)
WHERE state = {READY} AND backend = %(backend)s
    AND queue_name = %(queue)s AND is_async = %(is_async)s {above}
ORDER BY priority DESC, run_after, id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
