INSERT IGNORE INTO offload_celerypart (chord, task, position, outcome) VALUES (%s, %s, %s, %s)
