UPDATE offload_limitkey SET free_at = %(free_at)s, open_at = %(open_at)s, turn_left = %(turn_left)s
WHERE limit_key = %(limit_key)s
