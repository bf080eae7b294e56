UPDATE offload_job FORCE INDEX (PRIMARY) SET
    state = CASE WHEN limit_key IS NULL THEN {READY} ELSE {LIMITED} END,
    limit_slot = CONCAT('w:', limit_key),
    version = version + 1
WHERE id IN %(ids)s
