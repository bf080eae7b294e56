INSERT INTO offload_celerygroup (id, done, changed_at) VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET
    done = offload_celerygroup.done + excluded.done, changed_at = excluded.changed_at
