-- By the primary key only, as workers do. Who locks the entry of a key first, and then its row,
-- deadlocks with a worker that has locked the row, and frees the key.
SELECT id FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND unique_key IN %(keys)s AND {condition}
ORDER BY id
FOR UPDATE
