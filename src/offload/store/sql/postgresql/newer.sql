SELECT known.id AS known, {watched_columns}
FROM json_to_recordset(%(known)s::json) AS known (id uuid, version int)
LEFT JOIN offload_job AS job ON job.id = known.id
WHERE job.id IS NULL OR job.version > known.version
