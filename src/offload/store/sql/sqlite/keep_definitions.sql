-- A worker whose code was loaded later may have written the row meanwhile.
INSERT INTO offload_limit AS kept
    (name, definition, loaded_at, seen_at, override, reason, changed_by)
VALUES (%s, %s, %s, %s, '', '', '')
ON CONFLICT (name) DO UPDATE SET
    definition = CASE WHEN kept.loaded_at <= excluded.loaded_at THEN excluded.definition
        ELSE kept.definition END,
    loaded_at = max(kept.loaded_at, excluded.loaded_at),
    seen_at = max(kept.seen_at, excluded.seen_at)
