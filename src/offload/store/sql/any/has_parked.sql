-- Jobs are looked for only where a task was ever paused, and in the order of their index: else the
-- planner might scan the whole table.
CASE WHEN EXISTS (SELECT 1 FROM offload_taskpause) THEN (
        SELECT limit_slot FROM offload_job
        WHERE limit_slot >= 'p:' AND limit_slot < 'q' ORDER BY limit_slot LIMIT 1
    ) IS NOT NULL END
