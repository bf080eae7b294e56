INSERT INTO offload_celerygroup (id, saved, changed_at, done) VALUES (%s, %s, %s, 0)
ON DUPLICATE KEY UPDATE saved = VALUES(saved), changed_at = VALUES(changed_at)
