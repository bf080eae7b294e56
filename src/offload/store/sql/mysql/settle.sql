-- Writes the same change to blocked jobs, which lock_blocked.sql has locked. The time in which a job
-- must start begins when it may start.
UPDATE offload_job FORCE INDEX (PRIMARY) SET
    state = %(state)s,
    waiting_on = waiting_on - %(ended)s,
    run_when = %(run_when)s,
    version = version + 1,
    limit_slot = CASE WHEN %(state)s = {LIMITED} THEN CONCAT('w:', limit_key) END,
    expires_at = CASE WHEN %(state)s IN ({READY}, {LIMITED}) AND run_after < {clock}
        THEN expires_at + ({clock} - run_after) ELSE expires_at END,
    finished_at = CASE WHEN %(state)s >= {SUCCESSFUL} THEN {clock} END
WHERE id IN %(ids)s
