SELECT id FROM offload_job
WHERE unique_key = ANY (%(keys)s::text[]) AND {condition}
ORDER BY unique_key
{lock}
