"""What the author of a job's task has declared about showing it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.tasks import Task
from django.utils.module_loading import import_string

from offload.task_lookup import find_task
from offload.tasks import VISIBILITIES

if TYPE_CHECKING:
    from offload.models import Job

logger = logging.getLogger("offload.live")


def find_job_task(job: Job) -> Task[..., Any] | None:
    """Return the job's task; None if it is gone from the code, or its module cannot be imported."""
    try:
        return find_task(job.task_path)
    except BaseException:  # noqa: BLE001  # modules raise what they like
        return None


def job_title(job: Job) -> str:
    """Return what people call the job: its task's title, else the name of its function."""
    title = str(getattr(find_job_task(job), "title", ""))
    return title or job.task_path.rpartition(".")[2].replace("_", " ").strip().capitalize()


def job_visibility(job: Job) -> str | Callable[..., bool]:
    """Return who may see a job: one of four words, or a callable (request, result) -> bool.

    It is "owner" for a task that is gone. If the callable is gone, nobody may.
    """
    visibility: Any = getattr(find_job_task(job), "visibility", "owner")
    if visibility in VISIBILITIES or not isinstance(visibility, str):
        return visibility  # type: ignore[no-any-return]
    return _imported(visibility) or _nobody


def result_exposure(job: Job) -> bool | Callable[..., Any]:
    """Return whether what a job returned is shown, or the callable that makes what is shown."""
    exposed: Any = getattr(find_job_task(job), "expose_result", False)
    if not isinstance(exposed, str):
        return exposed  # type: ignore[no-any-return]
    return _imported(exposed) or False


def _nobody(_request: Any, _result: Any) -> bool:
    return False


@cache
def _imported(path: str) -> Callable[..., Any] | None:
    """Return what a task's author named; None, which `manage.py check` tells too, if it is gone."""
    try:
        found = import_string(path)
    except ImportError:
        logger.exception("%r, which a task names, cannot be imported.", path)
        return None
    return found if callable(found) else None
