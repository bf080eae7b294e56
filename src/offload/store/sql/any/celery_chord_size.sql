INSERT INTO offload_celerygroup (id, size, changed_at, done) VALUES (%s, %s, %s, 0)
ON CONFLICT (id) DO UPDATE SET size = excluded.size, changed_at = excluded.changed_at
