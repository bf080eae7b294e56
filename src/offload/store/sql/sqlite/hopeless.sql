-- Parts that cannot run because of parts that did not succeed, and those behind them.
WITH RECURSIVE hopeless (id) AS (
    SELECT dependency.child FROM json_each(%(ids)s) AS ended
    CROSS JOIN offload_dependency AS dependency
        ON dependency.parent = ended.value AND dependency.slot >= 0
    CROSS JOIN offload_job AS job ON job.id = dependency.child
    WHERE job.state = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
    UNION
    SELECT dependency.child FROM hopeless
    CROSS JOIN offload_dependency AS dependency
        ON dependency.parent = hopeless.id AND dependency.slot >= 0
    CROSS JOIN offload_job AS job ON job.id = dependency.child
    WHERE job.state = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
)
SELECT id FROM hopeless LIMIT %(limit)s
