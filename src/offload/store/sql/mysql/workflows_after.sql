-- One step of the index for each workflow ("Using index for group-by").
SELECT DISTINCT workflow FROM offload_job FORCE INDEX (offload_job_workflow)
WHERE workflow > %(after)s ORDER BY workflow LIMIT %(limit)s
