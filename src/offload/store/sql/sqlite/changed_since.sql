SELECT json_extract(known.value, '$.id') AS known, {watched_columns}
FROM json_each(%(known)s) AS known
LEFT JOIN offload_job AS job ON job.id = json_extract(known.value, '$.id')
WHERE job.id IS NULL OR job.version > json_extract(known.value, '$.version')
