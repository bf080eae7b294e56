-- Parts that cannot run because of parts that did not succeed, and those behind them.
WITH RECURSIVE hopeless (id) AS (
    SELECT child FROM offload_dependency
    JOIN offload_job AS job ON job.id = child
    WHERE offload_dependency.parent = ANY (%(ids)s::uuid[]) AND slot >= 0
        AND job.state + 0 = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
    UNION
    SELECT child FROM hopeless
    JOIN offload_dependency ON offload_dependency.parent = hopeless.id AND slot >= 0
    JOIN offload_job AS job ON job.id = child
    WHERE job.state + 0 = {BLOCKED} AND job.run_when = {RunWhen.SUCCEEDED}
)
SELECT id::text FROM hopeless LIMIT %(limit)s
