INSERT INTO offload_celerygroup (id, size, changed_at, done) VALUES (%s, %s, %s, 0)
ON DUPLICATE KEY UPDATE size = VALUES(size), changed_at = VALUES(changed_at)
