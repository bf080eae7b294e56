"""Cancels plain Celery tasks: Celery's word for it is to revoke them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from offload.celery_results.library import BrokerError, active_applications, current_app
from offload.celery_results.meta import read_meta
from offload.exceptions import OffloadError, QueueUnavailable
from offload.text import to_terminal_text

if TYPE_CHECKING:
    from offload.models import Job


def revoke(job: Job) -> None:
    """Let Celery's workers drop a task that waits, and end the process of one that runs.

    Raises:
        OffloadError: if no Celery application of this process uses the result backend.
        QueueUnavailable: if the broker does not accept the message.
    """
    app = _application()
    task_id = read_meta(job.progress).get("task_id") or str(job.pk)
    try:
        app.control.revoke(task_id, terminate=True)
    except (BrokerError, OSError) as error:
        raise QueueUnavailable(
            f"The task {task_id} was not revoked, as Celery's broker does not answer: "
            f"{to_terminal_text(error)}. Cancel it again when the broker answers."
        ) from error


def _application() -> Any:
    """Return the application of the project; its own first, if several use the backend."""
    for app in (current_app, *active_applications()):
        if str(app.conf.result_backend or "").startswith("offload://"):
            return app
    raise OffloadError(
        "The task was not revoked: no Celery application with the result backend 'offload://' is "
        "loaded in this process. Import the project's application in the __init__.py beside its "
        "settings."
    )
