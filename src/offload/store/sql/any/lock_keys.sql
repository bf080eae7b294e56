SELECT limit_key, parent, open_at <= {clock} FROM offload_limitkey
WHERE limit_key IN (SELECT value FROM json_each(%(limit_keys)s))
