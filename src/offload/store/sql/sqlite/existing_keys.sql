SELECT limit_key FROM offload_limitkey
WHERE limit_key IN (SELECT value FROM json_each(%(limit_keys)s))
