SELECT parent::text, child::text, position < 0 FROM offload_dependency
WHERE parent = ANY (%(ids)s::uuid[]) AND slot >= 0
