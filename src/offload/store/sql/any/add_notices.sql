INSERT INTO offload_limitnotice (limit_key, details) VALUES (%s, %s)
