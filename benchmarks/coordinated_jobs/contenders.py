"""The task queues that `coordination.py` compares, with the stages that each can run."""

from __future__ import annotations

from comparison.contenders import DJANGO, Contender, WorkerConfig


def _contender(
    name: str, store: str, package: str, module: str, *commands: tuple[str, ...], django: bool
) -> Contender:
    return Contender(
        name=name,
        store=store,
        package=package,
        module=module,
        settings=DJANGO if django else {},
        configs=(WorkerConfig(label="", commands=commands, backlog=0),),
    )


def _ours(store: str) -> Contender:
    command = ("python", "-m", "django", "offload_worker", "--verbosity", "0")
    return _contender(
        f"offload-{store}", store, "offload", "coordination_offload", command, django=True
    )


CELERY_APP = ("celery", "-A", "coordination_celery")
CELERY = _contender(
    "celery-redis",
    "redis",
    "celery",
    "coordination_celery",
    (*CELERY_APP, "worker", "-P", "prefork", "-c", "2", "-l", "warning"),
    (*CELERY_APP, "beat", "-l", "warning"),
    django=False,
)
PROCRASTINATE_WORKER = (
    *("procrastinate", "--app", "coordination_procrastinate.app", "worker", "-c", "20"),
)
PROCRASTINATE = _contender(
    "procrastinate-postgresql",
    "postgresql",
    "procrastinate",
    "coordination_procrastinate",
    PROCRASTINATE_WORKER,
    PROCRASTINATE_WORKER,
    django=False,
)
DJ_QUEUE = _contender(
    "dj-queue-postgresql",
    "postgresql",
    "dj-queue",
    "coordination_dj_queue",
    ("python", "-m", "django", "dj_queue"),
    django=True,
)
DBOS_WORKER = ("python", "-m", "coordination_dbos")
DBOS = _contender(
    "dbos-postgresql",
    "postgresql",
    "dbos",
    "coordination_dbos",
    DBOS_WORKER,
    DBOS_WORKER,
    django=False,
)

ALL = ("chain", "fan_in", "limits", "schedules")

CONTENDERS: tuple[tuple[Contender, tuple[str, ...]], ...] = (
    (_ours("sqlite"), ALL),
    (_ours("postgresql"), ALL),
    (_ours("mariadb"), ALL),
    (CELERY, ("chain", "fan_in", "schedules")),
    (DBOS, ALL),
    (PROCRASTINATE, ("limits", "schedules")),
    (DJ_QUEUE, ("limits", "schedules")),
)
"""Each contender and its stages; what it lacks is left out."""
