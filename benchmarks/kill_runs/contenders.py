"""What is compared."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

_CELERY = (sys.executable, "-m", "celery")
_WORKER = ("worker", "--pool", "prefork", "--concurrency", "4", "--loglevel", "info")


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to run jobs in Celery's workers.

    Attributes:
        name: in the table.
        worker: the command of the worker whose processes are killed.
        others: commands of processes that are left alone.
        sender: what `kill_runs.sender` enqueues to.
        queue: the name of the queue at the broker.
        environment: variables of all processes.
        uses_database: whether jobs are rows.
    """

    name: str
    worker: tuple[str, ...]
    sender: str
    queue: str
    others: tuple[tuple[str, ...], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    uses_database: bool = False


CONTENDERS = [
    Contender(
        "django-offload",
        (*_CELERY, "-A", "offload.celery", *_WORKER, "--queues", "jobs-default"),
        "offload",
        "jobs-default",
        ((sys.executable, "-m", "django", "offload_worker", "--duties-only", "--no-reload"),),
        {"DJANGO_SETTINGS_MODULE": "kill_runs.settings"},
        uses_database=True,
    ),
    Contender(
        "plain Celery, defaults",
        (*_CELERY, "-A", "kill_runs.plain", *_WORKER),
        "plain",
        "celery",
    ),
    Contender(
        "plain Celery, `acks_late` and `reject_on_worker_lost`",
        (*_CELERY, "-A", "kill_runs.plain", *_WORKER),
        "plain",
        "celery",
        environment={"KILL_RUN_ACKS_LATE": "1"},
    ),
]
