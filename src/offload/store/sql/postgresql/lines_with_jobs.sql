SELECT line FROM unnest(%(lines)s::text[]) AS line
WHERE EXISTS (SELECT FROM offload_job WHERE limit_slot = line)
