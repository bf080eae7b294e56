SELECT open_at FROM offload_limitkey
WHERE parent = %(parent)s AND open_at IS NOT NULL ORDER BY open_at LIMIT 1
