CASE WHEN EXISTS (SELECT 1 FROM offload_limitnotice) THEN 0 ELSE (
        SELECT open_at FROM offload_limitkey
        WHERE parent = '' AND open_at IS NOT NULL ORDER BY open_at LIMIT 1
    ) - {clock} END
