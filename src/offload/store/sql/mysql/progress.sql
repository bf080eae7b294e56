-- UPDATE has no SKIP LOCKED: lock_running_skip_locked.sql has locked and checked these rows.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    version = version + 1,
    progress = CASE id {progress} END
WHERE id IN %(ids)s
