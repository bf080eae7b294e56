SELECT id FROM offload_job
WHERE unique_key IN (SELECT value FROM json_each(%(keys)s)) AND {condition}
{lock}
