INSERT INTO offload_limitnotice (limit_key, details)
SELECT * FROM unnest(%(limit_keys)s::text[], %(details)s::text[])
