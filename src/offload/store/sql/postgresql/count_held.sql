-- From the first place that a running job had: of the jobs that have finished since, a long
-- transaction elsewhere keeps entries, which the index alone tells apart.
SELECT counted.limit_key, held.*
FROM unnest(
    %(limit_keys)s::text[], %(held_from)s::bigint[], %(held_from_id)s::uuid[]
) AS counted (limit_key, held_from, held_from_id)
CROSS JOIN LATERAL (
    SELECT count(*), (array_agg(run_after ORDER BY run_after, id))[1],
        (array_agg(id::text ORDER BY run_after, id))[1]
    FROM offload_job
    WHERE limit_slot = 'h:' || counted.limit_key
        AND (run_after, id) >= (counted.held_from, counted.held_from_id)
) AS held
