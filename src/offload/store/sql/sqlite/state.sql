SELECT state FROM offload_job WHERE id = ?1
