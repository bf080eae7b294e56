"""Reports of a Celery worker, made without one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from celery.app.task import Context

from tests.celery_apps import results


def request_of(task_id: str, *, retries: int = 0, **fields: Any) -> Context:
    """Return what Celery knows of an attempt."""
    return Context(
        {
            "id": task_id,
            "task": "shop.tasks.report",
            "retries": retries,
            "hostname": "w1@shop",
            "args": (1, 2),
            "kwargs": {"to": "ann"},
            "delivery_info": {"routing_key": "mail", "priority": 3},
            **fields,
        }
    )


class Task:
    """A task, of which a worker reports states."""

    def __init__(self, task_id: str = "", app: Any = results) -> None:
        self.id = task_id or str(uuid4())
        self.app = app

    @property
    def result(self) -> Any:
        """Celery's own result object, which has read nothing yet."""
        return self.app.AsyncResult(self.id)

    def report(self, state: str, value: Any = None, *, retries: int = 0, **fields: Any) -> None:
        request = request_of(self.id, retries=retries, **fields)
        traceback = "Traceback: ..." if isinstance(value, BaseException) else None
        self.app.backend.store_result(self.id, value, state, traceback=traceback, request=request)

    def report_unknown(self, state: str, value: Any = None) -> None:
        """Report a state without knowing the attempt."""
        self.app.backend.store_result(self.id, value, state)
