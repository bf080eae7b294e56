-- The results that fill the slots of jobs: those of their return values, or of their arguments. None
-- is read if together they are too large. A result of which a part of the workflow has handed over
-- the making is made of others. (An EXISTS would read all such dependencies.)
SELECT dependency.child::text, slot, dependency.parent::text, parent.state,
    CASE WHEN SUM(octet_length(parent.return_value)) OVER () <= %(max_size)s THEN parent.return_value END,
    COALESCE(SUM(octet_length(parent.return_value)) OVER (), 0),
    (
        SELECT handed_over.slot FROM offload_dependency AS handed_over
        WHERE handed_over.child = dependency.parent AND handed_over.slot < 0 LIMIT 1
    ) IS NOT NULL
FROM offload_dependency AS dependency
LEFT JOIN offload_job AS parent ON parent.id = dependency.parent
WHERE dependency.child = ANY (%(ids)s::uuid[]) AND dependency.slot * %(sign)s > 0
ORDER BY slot, dependency.position
