UPDATE offload_job FORCE INDEX (PRIMARY) SET state = {READY} WHERE id IN %(ids)s
