INSERT INTO offload_celerygroup (id, done, changed_at) VALUES (%s, %s, %s)
ON DUPLICATE KEY UPDATE done = done + VALUES(done), changed_at = VALUES(changed_at)
