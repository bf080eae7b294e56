-- One step of the index for each workflow, however many parts it has.
WITH RECURSIVE whole (id, number) AS (
    SELECT (
        SELECT workflow FROM offload_job WHERE workflow > %(after)s ORDER BY workflow, id LIMIT 1
    ), 1
    UNION ALL
    SELECT (
        SELECT workflow FROM offload_job WHERE workflow > whole.id ORDER BY workflow, id LIMIT 1
    ), number + 1
    FROM whole WHERE whole.id IS NOT NULL AND number < %(limit)s
)
SELECT id FROM whole WHERE id IS NOT NULL
