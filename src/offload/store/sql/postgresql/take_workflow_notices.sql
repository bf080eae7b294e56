DELETE FROM offload_workflownotice
WHERE id = ANY (ARRAY(
    SELECT id FROM offload_workflownotice ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
))
RETURNING job::text, told_up_to::text
