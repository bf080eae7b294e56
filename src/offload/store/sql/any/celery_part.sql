INSERT INTO offload_celerypart (chord, task, position, outcome) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING
