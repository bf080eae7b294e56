-- There is no DELETE ... RETURNING on MySQL: delete_workflow_notices.sql deletes what this locks.
SELECT job, told_up_to, id FROM offload_workflownotice
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
