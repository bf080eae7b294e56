-- UPDATE knows no SKIP LOCKED: the rows were locked, and found to be still ours, before.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    version = version + 1,
    progress = CASE id {progress} END
WHERE id IN %(ids)s
