-- A key in whose line no job waits is closed. One whose row says nothing more is deleted.
WITH looked_at AS MATERIALIZED (
    SELECT *, (open_at IS NOT NULL OR is_disposable) AND EXISTS (
        SELECT FROM offload_job WHERE limit_slot = 'w:' || looked_at.limit_key
    ) AS waits
    FROM unnest(
        %(limit_key)s::text[], %(free_at)s::bigint[], %(open_at)s::bigint[],
        %(turn_left)s::smallint[], %(is_disposable)s::boolean[]
    ) AS looked_at (limit_key, free_at, open_at, turn_left, is_disposable)
), deleted AS (
    DELETE FROM offload_limitkey WHERE limit_key = ANY (ARRAY(
        SELECT limit_key FROM looked_at WHERE is_disposable AND NOT waits
    ))
)
UPDATE offload_limitkey AS closed SET
    free_at = looked_at.free_at,
    turn_left = looked_at.turn_left,
    open_at = CASE WHEN looked_at.waits THEN looked_at.open_at END
FROM looked_at
WHERE closed.limit_key = looked_at.limit_key
    AND (looked_at.waits OR NOT looked_at.is_disposable)
