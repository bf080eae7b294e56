UPDATE offload_job SET
    state = CASE WHEN :state <= {READY} AND cancel_requested_at IS NOT NULL
        THEN {CANCELLED} ELSE :state END,
    attempt = attempt - :discount,
    lost = lost + :loss,
    run_after = CASE WHEN :delay > 0 THEN :now + :delay ELSE run_after END,
    finished_at = CASE WHEN :state >= {SUCCESSFUL} OR cancel_requested_at IS NOT NULL
        THEN :now END,
    return_value = :return_value
WHERE id = :id AND run = :run AND state = {RUNNING}
