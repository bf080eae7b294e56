-- The row without a name has the microseconds until the next scheduled job is due, until limited
-- jobs may start, and until the next schedule is due, whether there are notices about workflows, and
-- whether jobs of paused tasks are kept aside.
SELECT name, NULL, NULL, NULL, NULL, NULL FROM (
    {ready_queues.sql}
) AS ready
UNION ALL
SELECT NULL, (
    SELECT run_after FROM offload_job WHERE state = {SCHEDULED} ORDER BY run_after LIMIT 1
) - {clock},
    {limited_due.sql},
    {schedule_due.sql},
    EXISTS (SELECT 1 FROM offload_workflownotice),
    {has_parked.sql}
