DELETE FROM offload_limitnotice
WHERE id IN (SELECT value FROM json_each(%(ids)s))
RETURNING id
