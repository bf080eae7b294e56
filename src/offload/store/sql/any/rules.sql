-- What operators have decided: about queues, which have no number here, and the pauses of tasks.
SELECT NULL AS number, queue.* FROM (
    {queue_rules.sql}
) AS queue
UNION ALL
SELECT id, task_path, paused_at, paused_until, pause_reason, is_reason_public, pause_changed_by,
    paused_until - {clock},
    '', '', '', NULL
FROM offload_taskpause
WHERE backend = %(backend)s AND paused_at IS NOT NULL
    AND (paused_until IS NULL OR paused_until > {clock})
