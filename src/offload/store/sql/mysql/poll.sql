-- The first queue with ready jobs, the microseconds until the next scheduled job is due, until
-- limited jobs may start, and until the next schedule is due, whether there are notices about
-- workflows, and whether jobs of paused tasks are kept aside.
SELECT (
    SELECT queue_name FROM offload_job FORCE INDEX (offload_job_ready)
    WHERE state = {READY} AND backend = %(backend)s
    ORDER BY queue_name LIMIT 1
), (
    SELECT run_after FROM offload_job FORCE INDEX (offload_job_scheduled)
    WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock},
    {limited_due.sql},
    {schedule_due.sql},
    EXISTS (SELECT 1 FROM offload_workflownotice),
    {has_parked.sql}
