SELECT {claim_columns}
FROM offload_job FORCE INDEX (offload_job_limited)
WHERE limit_slot = CONCAT('w:', %(limit_key)s) AND backend = %(backend)s
    AND is_async IN %(kinds)s AND {queues}
ORDER BY priority DESC, run_after, id
LIMIT %(count)s
FOR UPDATE SKIP LOCKED
