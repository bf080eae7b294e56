"""The Celery application of this package: no other module of the backend imports Celery.

Its settings are Django's, with the prefix CELERY_, such as CELERY_BROKER_URL.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, shared_task, signals
from django.conf import settings

__all__ = [
    "MAX_BROKER_PRIORITY",
    "RUN",
    "WORKER",
    "application",
    "broker_priority",
    "shared_task",
    "signals",
]

RUN = "offload.run"
"""The name of the Celery task that runs jobs."""
WORKER = "offload.worker.fleet.celery_tasks"
"""The module that defines it; only workers import it."""
MAX_BROKER_PRIORITY = 9


def _defaults() -> dict[str, Any]:
    """Return the defaults of Celery's settings, which those of the project replace."""
    types = ("CELERY_TASK_DEFAULT_QUEUE_TYPE", "CELERY_TASK_CREATE_MISSING_QUEUE_TYPE")
    has_quorum = any(getattr(settings, name, "") == "quorum" for name in types)
    return {
        "imports": [WORKER],
        "task_default_queue": "default",
        # Quorum queues have priorities of their own, and refuse this.
        "task_queue_max_priority": None if has_quorum else MAX_BROKER_PRIORITY,
        "task_ignore_result": True,
        # No other worker sees a message that waits in a busy one.
        "worker_prefetch_multiplier": 1,
        "broker_connection_retry_on_startup": True,
    }


application = Celery("offload", set_as_current=False)
application.config_from_object("django.conf:settings", namespace="CELERY")
application.add_defaults(_defaults)


def broker_priority(priority: int, app: Any) -> int:
    """Return a job's priority, -100 to 100, as one of the broker's: 0 to 9.

    Args:
        priority: of the job.
        app: the Celery application; with Redis, 0 is the most urgent.
    """
    level = (priority + 100) * MAX_BROKER_PRIORITY // 200
    scheme = str(app.conf.broker_url or "").partition(":")[0]
    is_redis = scheme.startswith(("redis", "rediss", "sentinel"))
    return MAX_BROKER_PRIORITY - level if is_redis else level
