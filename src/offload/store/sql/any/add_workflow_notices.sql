INSERT INTO offload_workflownotice (job, told_up_to) VALUES (%s, %s)
