-- Parts that cannot run because of parts that did not succeed, and those behind them.
WITH RECURSIVE hopeless (id) AS (
    SELECT dependency.child
    FROM offload_dependency AS dependency FORCE INDEX (offload_dependency_parent)
    STRAIGHT_JOIN offload_job AS job FORCE INDEX (PRIMARY) ON job.id = dependency.child
    WHERE dependency.parent IN %(ids)s AND dependency.slot >= 0
        AND job.state = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
    UNION
    SELECT dependency.child FROM hopeless
    STRAIGHT_JOIN offload_dependency AS dependency FORCE INDEX (offload_dependency_parent)
        ON dependency.parent = hopeless.id AND dependency.slot >= 0
    STRAIGHT_JOIN offload_job AS job FORCE INDEX (PRIMARY) ON job.id = dependency.child
    WHERE job.state = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
)
SELECT id FROM hopeless LIMIT %(limit)s
