-- From the start of each line, whatever the row of the key says: its lock is not held here, so
-- another worker may be moving `line_from` back for a job that nothing else would find. The LIMIT
-- keeps the planner from reading all lines at once.
SELECT line FROM unnest(%(lines)s::text[]) AS line
CROSS JOIN LATERAL (SELECT FROM offload_job WHERE limit_slot = line LIMIT 1) AS waiting
