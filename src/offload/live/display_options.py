"""The options of a job's task that say how it is shown, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from offload.store.celery_records import CELERY
from offload.store.workflow_records import read_workflow
from offload.task_lookup import find_task
from offload.task_modules import task_module
from offload.text import to_single_line

if TYPE_CHECKING:
    from django.tasks import Task

    from offload.models import Job


MAX_TITLE_CHARS = 500
"""Longer titles are cut."""


class DisplayOptions(NamedTuple):
    """The options of one task; safe defaults if the task no longer exists.

    Attributes:
        title: the task's title, or else its function's name in words.
        visibility: one of `VISIBILITIES`, or a callable `(request, result) -> bool`.
        expose_result: whether the return value is shown, or a callable `(result)` that returns
            what is shown in its place.
    """

    title: str
    visibility: str | Callable[..., bool]
    expose_result: bool | Callable[..., Any]


def display_options(job: Job) -> DisplayOptions:
    """Return the options of a job's task; of a workflow those of the task whose result it returns.

    The title of a workflow is its name. Callables are made for the arguments of their task, so they
    do not apply to a workflow.
    """
    if job.is_workflow:
        return _workflow_options(job)
    task = _find_celery_task(job.task_path) if job.backend == CELERY else _find_task(job.task_path)
    title = str(getattr(task, "title", "")) or _title_from_path(job.task_path)
    visibility: Any = getattr(task, "visibility", "owner")
    expose_result: Any = getattr(task, "expose_result", False)
    if expose_result is not True and not callable(expose_result):
        expose_result = False
    return DisplayOptions(_one_line(title), visibility, expose_result)


def _workflow_options(job: Job) -> DisplayOptions:
    try:
        definition = read_workflow(getattr(job, "definition", None) or job.arguments)
        name, path = str(definition["name"]), str(definition["task"])
    except (ValueError, TypeError, KeyError, RecursionError):  # damaged
        name, path = _title_from_path(job.task_path), ""
    task = _find_task(path)
    visibility: Any = getattr(task, "visibility", "owner")
    if not isinstance(visibility, str):
        visibility = "owner"
    return DisplayOptions(_one_line(name), visibility, getattr(task, "expose_result", None) is True)


def _one_line(title: str) -> str:
    return to_single_line(title, max_chars=MAX_TITLE_CHARS)


def _find_task(path: str) -> Task[..., Any] | None:
    """Return the task; None if it was removed, or if its module cannot be imported."""
    try:
        return find_task(path)
    except BaseException:  # noqa: BLE001  # modules raise anything while they are imported
        return None


def _find_celery_task(name: str) -> Any:
    """Return the plain Celery task, whose options are attributes; None if it is not known here.

    Only Celery's workers import the modules of all tasks: here, that in the name is imported.
    """
    try:
        if _registered(name) is None:
            task_module(name.rpartition(".")[0])
        return _registered(name)
    except BaseException:  # noqa: BLE001  # modules raise anything while they are imported
        return None


def _registered(name: str) -> Any:
    """Return the task of the project's application, or else of another."""
    from offload.celery_results.library import (  # noqa: PLC0415  # needs Celery
        active_applications,
        current_app,
    )

    found = (app.tasks.get(name) for app in (current_app, *active_applications()))
    return next((task for task in found if task is not None), None)


def _title_from_path(path: str) -> str:
    """Return `send_report` as "Send report"."""
    name = path.rpartition(".")[2]
    return name.replace("_", " ").strip().capitalize()
