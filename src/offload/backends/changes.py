"""Changes that users make to jobs, with the signals about them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.tasks.signals import task_enqueued, task_finished

from offload.backends.base import find_backend
from offload.backends.rows import result_from_row
from offload.lifecycle import JobState
from offload.signal_receivers import cancellation, has_no_receivers

if TYPE_CHECKING:
    from offload.results import OffloadResult
    from offload.store.base import Store

PARTICIPLES = {"retry": "retried", "cancel": "cancelled"}


def cancel_job(store: Store, job: UUID) -> JobState | None:
    """Cancel a waiting job, or request that a running one stops, in the caller's transaction.

    After the commit, `task_finished` is sent here for a job that was waiting. The worker sends it
    for a running one.

    Returns:
        CANCELLED, RUNNING (requested), or None if the job has finished or does not exist.
    """
    state = store.cancel(job)
    if state == JobState.CANCELLED and not has_no_receivers(task_finished, logging.INFO):
        result = _read(store, job)
        transaction.on_commit(lambda: send_cancelled(result), using=store.using, robust=True)
    return state


def retry_job(store: Store, job: UUID) -> bool:
    """Make a finished job ready again, in the caller's transaction; return whether it was changed.

    After the commit, `task_enqueued` is sent here.
    """
    is_changed = store.retry(job)
    if is_changed and not has_no_receivers(task_enqueued, logging.DEBUG):
        result = _read(store, job)
        transaction.on_commit(lambda: send_retried(result), using=store.using, robust=True)
    return is_changed


def send_cancelled(result: OffloadResult[Any]) -> None:
    """Send `task_finished` for a job that was cancelled while it was waiting."""
    with cancellation():
        task_finished.send_robust(_sender(result), task_result=result)


def send_retried(result: OffloadResult[Any]) -> None:
    """Send `task_enqueued` for a job that was retried by hand."""
    task_enqueued.send_robust(_sender(result), task_result=result)


def explain_state(job: object, state: JobState, action: str) -> str:
    """Return why a job in a state cannot be cancelled, or retried.

    Args:
        job: its id.
        state: its state.
        action: "cancel" or "retry".
    """
    if action == "cancel" and state == JobState.CANCELLED:
        return f"The job {job} has already been cancelled."
    return f"The job {job} is {state.label}; it cannot be {PARTICIPLES[action]}."


def _read(store: Store, job: UUID) -> OffloadResult[Any]:
    row, attempts = store.read(job)
    assert row is not None  # noqa: S101  # it was just changed in this transaction
    return result_from_row(row, attempts)


def _sender(result: OffloadResult[Any]) -> type | None:
    backend = find_backend(result.backend)
    return None if backend is None else type(backend)
