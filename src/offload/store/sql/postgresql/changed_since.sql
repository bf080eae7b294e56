-- LIMIT makes the planner join row by row, by the primary key.
SELECT known.id AS known, {watched_columns}
FROM json_to_recordset(%(known)s::json) AS known (id uuid, version int)
LEFT JOIN LATERAL (SELECT * FROM offload_job WHERE id = known.id LIMIT 1) AS job ON TRUE
WHERE job.id IS NULL OR job.version > known.version
