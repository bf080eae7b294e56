INSERT INTO offload_celerygroup (id, saved, changed_at, done) VALUES (%s, %s, %s, 0)
ON CONFLICT (id) DO UPDATE SET saved = excluded.saved, changed_at = excluded.changed_at
