UPDATE offload_queue SET free_at = %(free_at)s WHERE backend = %(backend)s AND name = %(name)s
