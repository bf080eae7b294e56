UPDATE offload_job FORCE INDEX (PRIMARY) SET state = {READY}, version = version + 1
WHERE id IN %(ids)s
