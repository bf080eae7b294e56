SELECT id FROM offload_job FORCE INDEX (offload_job_unique)
WHERE unique_key IN %(keys)s AND {condition}
