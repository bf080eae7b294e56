-- Notices have a number, limits have none; the row without a name has the time.
SELECT * FROM (
    SELECT id, limit_key AS name, details AS text, '' AS override, 0 AS loaded_at, 0 AS seen_at
    FROM offload_limitnotice ORDER BY id LIMIT %(limit)s
) AS notices
UNION ALL
SELECT NULL, name, definition, override, loaded_at, seen_at FROM offload_limit
UNION ALL
SELECT NULL, NULL, '', '', {clock}, 0
