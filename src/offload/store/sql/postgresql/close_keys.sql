-- A key in whose line no job waits is closed. One whose row says nothing more is deleted. Where all
-- jobs of a line have one priority, none is before the first one: the next claim starts there, and
-- not at the entries of earlier jobs, which a long transaction elsewhere keeps. The last one of a
-- line has the lowest priority.
WITH looked_at AS MATERIALIZED (
    SELECT closed.*, first.id IS NOT NULL AS waits, first.run_after, first.id,
        first.priority = (
            SELECT priority FROM offload_job
            WHERE limit_slot = 'w:' || closed.limit_key
                AND (run_after, id) >= (closed.line_from, closed.line_from_id)
                AND first.id IS NOT NULL
            ORDER BY priority, run_after DESC, id DESC
            LIMIT 1
        ) AS has_one_priority
    FROM unnest(
        %(limit_key)s::text[], %(free_at)s::bigint[], %(open_at)s::bigint[],
        %(turn_left)s::smallint[], %(is_disposable)s::boolean[], %(held_from)s::bigint[],
        %(held_from_id)s::uuid[], %(line_from)s::bigint[], %(line_from_id)s::uuid[]
    ) AS closed (
        limit_key, free_at, open_at, turn_left, is_disposable, held_from, held_from_id, line_from,
        line_from_id
    )
    LEFT JOIN LATERAL (
        SELECT priority, run_after, id FROM offload_job
        WHERE limit_slot = 'w:' || closed.limit_key
            AND (run_after, id) >= (closed.line_from, closed.line_from_id)
        ORDER BY priority DESC, run_after, id
        LIMIT 1
    ) AS first ON TRUE
), deleted AS (
    DELETE FROM offload_limitkey WHERE limit_key = ANY (ARRAY(
        SELECT limit_key FROM looked_at WHERE is_disposable AND NOT waits
    ))
)
UPDATE offload_limitkey AS closed SET
    free_at = looked_at.free_at,
    turn_left = looked_at.turn_left,
    open_at = CASE WHEN looked_at.waits THEN looked_at.open_at END,
    held_from = looked_at.held_from,
    held_from_id = looked_at.held_from_id,
    line_from = CASE WHEN has_one_priority THEN looked_at.run_after ELSE closed.line_from END,
    line_from_id = CASE WHEN has_one_priority THEN looked_at.id ELSE closed.line_from_id END
FROM looked_at
WHERE closed.limit_key = looked_at.limit_key
    AND (looked_at.waits OR NOT looked_at.is_disposable)
