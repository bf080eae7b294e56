-- The condition (run_after, id) >= (...), in a form that can use ranges of the index.
AND priority = %(priority)s
AND (run_after > %(run_after)s OR (run_after = %(run_after)s AND id >= %(id)s))
