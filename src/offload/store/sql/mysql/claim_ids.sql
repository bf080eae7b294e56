-- There is no UPDATE ... RETURNING: this reads and locks, mark_claimed.sql then writes.
SELECT {claim_columns},
    {clock} AS now
FROM offload_job FORCE INDEX (PRIMARY)
WHERE id IN %(ids)s AND state = {READY} AND backend = %(backend)s
FOR UPDATE SKIP LOCKED
