-- ASCII, so that the ids take the collation of the id column where ids are text.
SELECT known.id AS known, {watched_columns}
FROM JSON_TABLE(%(known)s, '$[*]' COLUMNS (
    id CHAR(36) CHARACTER SET ascii PATH '$.id', version INT PATH '$.version'
)) AS known
LEFT JOIN offload_job AS job FORCE INDEX (PRIMARY) ON job.id = known.id
WHERE job.id IS NULL OR job.version > known.version
