-- A worker whose code was loaded later may have written the row meanwhile. The columns are assigned
-- one after the other.
INSERT INTO offload_limit (name, definition, loaded_at, seen_at, override, reason, changed_by)
VALUES (%s, %s, %s, %s, '', '', '')
ON DUPLICATE KEY UPDATE
    definition = IF(loaded_at <= VALUES(loaded_at), VALUES(definition), definition),
    loaded_at = GREATEST(loaded_at, VALUES(loaded_at)),
    seen_at = GREATEST(seen_at, VALUES(seen_at))
