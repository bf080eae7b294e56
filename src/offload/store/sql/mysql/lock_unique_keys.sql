INSERT INTO offload_uniquelock (unique_key) VALUES (%s)
ON DUPLICATE KEY UPDATE unique_key = VALUES(unique_key)
