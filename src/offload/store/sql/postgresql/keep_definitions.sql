-- A worker whose code was loaded later may have written the row meanwhile.
INSERT INTO offload_limit AS kept
    (name, definition, loaded_at, seen_at, override, reason, changed_by)
SELECT name, definition, loaded_at, seen_at, '', '', ''
FROM unnest(
    %(names)s::text[], %(definitions)s::text[], %(loaded_at)s::bigint[], %(seen_at)s::bigint[]
) AS code (name, definition, loaded_at, seen_at)
ON CONFLICT (name) DO UPDATE SET
    definition = CASE WHEN kept.loaded_at <= excluded.loaded_at THEN excluded.definition
        ELSE kept.definition END,
    loaded_at = greatest(kept.loaded_at, excluded.loaded_at),
    seen_at = greatest(kept.seen_at, excluded.seen_at)
