-- Locked rows are skipped: the worker that holds one may have looked for jobs already.
-- A key of which no job waits stays closed: the next job adds a notice. Rows that stay as they are
-- are not written: they may be as many as jobs have finished. A line that jobs have entered before
-- its first one begins there.
WITH unlocked AS MATERIALIZED (
    SELECT known.*,
        known.is_known OR known.parent <> offload_limitkey.parent
            OR known.entered <= offload_limitkey.line_from AS is_new,
        CASE WHEN offload_limitkey.open_at <= {clock} THEN FALSE
            ELSE offload_limitkey.limit_key = offload_limitkey.name OR EXISTS (
                SELECT FROM offload_job WHERE limit_slot = 'w:' || known.limit_key
                    AND (run_after, id) >= (
                        least(known.entered, offload_limitkey.line_from),
                        CASE WHEN known.entered <= offload_limitkey.line_from THEN '00000000-0000-0000-0000-000000000000'::uuid
                            ELSE offload_limitkey.line_from_id END
                    )
            ) END AS opens
    FROM unnest(
        %(limit_key)s::text[], %(parent)s::text[], %(is_known)s::boolean[], %(backend)s::text[],
        %(queue_name)s::text[], %(is_async)s::int[], %(max_running)s::int[],
        %(weight)s::smallint[], %(entered)s::bigint[]
    ) AS known (
        limit_key, parent, is_known, backend, queue_name, is_async, max_running, weight, entered
    )
    JOIN offload_limitkey ON offload_limitkey.limit_key = known.limit_key
    FOR NO KEY UPDATE OF offload_limitkey SKIP LOCKED
), opened AS (
    UPDATE offload_limitkey AS opened SET
        turn_left = CASE WHEN opened.open_at IS NULL THEN 0 ELSE opened.turn_left END,
        open_at = CASE WHEN unlocked.opens THEN {clock} ELSE opened.open_at END,
        parent = unlocked.parent,
        backend = CASE WHEN coalesce(unlocked.backend, opened.backend) = opened.backend
            THEN opened.backend ELSE '' END,
        queue_name = CASE WHEN coalesce(unlocked.queue_name, opened.queue_name) = opened.queue_name
            THEN opened.queue_name ELSE '' END,
        is_async = CASE WHEN coalesce(unlocked.is_async, opened.is_async::int) = opened.is_async::int
            THEN opened.is_async END,
        max_running = CASE WHEN unlocked.is_known THEN unlocked.max_running
            ELSE opened.max_running END,
        weight = CASE WHEN unlocked.is_known THEN unlocked.weight ELSE opened.weight END,
        line_from = least(unlocked.entered, opened.line_from),
        line_from_id = CASE WHEN unlocked.entered <= opened.line_from THEN '00000000-0000-0000-0000-000000000000'::uuid
            ELSE opened.line_from_id END
    FROM unlocked
    WHERE opened.limit_key = unlocked.limit_key AND (unlocked.is_new OR unlocked.opens)
)
SELECT limit_key FROM unlocked
