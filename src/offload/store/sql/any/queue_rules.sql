SELECT name, paused_at, paused_until, pause_reason, is_reason_public, pause_changed_by,
    paused_until - {clock},
    limits, limits_reason, limits_changed_by, limits_changed_at
FROM offload_queue
WHERE backend = %(backend)s AND (
    limits <> '' OR paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > {clock})
)
