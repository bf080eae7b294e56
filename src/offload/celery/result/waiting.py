"""Waits for a task, also from within a transaction."""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any
from uuid import UUID

from django.db import connections

from offload.celery.exceptions import TimeoutError
from offload.celery.result.snapshots import Snapshot, read, results_backend
from offload.celery.result.transactions import is_in_transaction, is_uncommitted
from offload.celery.tasks.request import join_would_block
from offload.exceptions import OffloadError


def require_no_join() -> None:
    """Raise RuntimeError in a task of a worker: the task that it would wait for may need its slot.

    `allow_join_result()` allows it.
    """
    if join_would_block():
        raise RuntimeError(
            "get() was called within a task, which holds its worker while it waits; if all do, "
            "none ends. Use a chain or a chord, or get(disable_sync_subtasks=False)."
        )


def wait_until_finished(identifier: UUID, task_id: str, timeout: float | None) -> Snapshot:
    """Wait until a task has ended; return its snapshot.

    Args:
        identifier: of its job.
        task_id: the same as the caller knows it.
        timeout: seconds; None waits indefinitely.

    Raises:
        TimeoutError: if it has not ended by then.
        OffloadError: in the transaction that enqueued it, whose end comes after that.
    """
    backend = results_backend()
    if is_uncommitted(backend, identifier):
        raise OffloadError(
            f"get() inside the transaction that enqueued the task {task_id} would never return: no "
            "worker sees the task before the transaction ends. Call get() after it, or in "
            "transaction.on_commit(); in a TestCase, call offload.testing.run_jobs() first."
        )

    deadline = None if timeout is None else time.monotonic() + timeout

    def wait() -> Snapshot:
        awaited = identifier
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            backend.wait(str(awaited), remaining)
            snapshot = read(identifier, task_id)
            if snapshot.is_finished:
                return snapshot
            awaited = snapshot.last_job.pk  # it has taken the place of the task

    try:
        return _outside(wait) if is_in_transaction(backend) else wait()
    except builtins.TimeoutError as error:
        raise TimeoutError(str(error)) from error


def _outside(function: Callable[[], Snapshot]) -> Snapshot:
    """Call a function in a thread, whose connections see what others commit meanwhile."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001  # raised in the caller
            outcome.append((None, error))
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    thread = threading.Thread(target=copy_context().run, args=(run,), name="celery get")
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]
