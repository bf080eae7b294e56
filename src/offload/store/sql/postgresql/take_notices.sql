DELETE FROM offload_limitnotice
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_limitnotice WHERE id = ANY (%(ids)s::bigint[]) FOR UPDATE SKIP LOCKED
))
RETURNING id
