DELETE FROM offload_workflownotice
WHERE id IN (SELECT id FROM offload_workflownotice ORDER BY id LIMIT %(limit)s)
RETURNING job, told_up_to
