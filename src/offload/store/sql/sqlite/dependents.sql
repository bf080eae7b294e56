SELECT parent, child, position < 0 FROM offload_dependency
WHERE parent IN (SELECT value FROM json_each(%(ids)s)) AND slot >= 0
