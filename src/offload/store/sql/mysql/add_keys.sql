INSERT IGNORE INTO offload_limitkey
    (limit_key, name, parent, backend, queue_name, is_async, max_running, weight, turn_left,
    free_at, open_at)
VALUES (%(limit_key)s, %(name)s, %(parent)s, %(backend)s, %(queue_name)s, %(is_async)s,
    %(max_running)s, %(weight)s, %(turn_left)s, %(free_at)s, %(open_at)s)
