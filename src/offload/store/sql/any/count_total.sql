SELECT count(*) FROM offload_job WHERE limit_slot > %(low)s AND limit_slot < %(high)s
