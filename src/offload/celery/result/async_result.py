"""`AsyncResult`: a task by its id."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.tasks.exceptions import TaskResultDoesNotExist

from offload.celery import states
from offload.celery.exceptions import IncompleteStream, TaskRevokedError, TimeoutError
from offload.celery.result.eager_snapshots import EagerSnapshot, forget_kept
from offload.celery.result.reading import Known, TaskReader
from offload.celery.result.removal import delete_finished
from offload.celery.result.snapshots import results_backend
from offload.celery.result.waiting import require_no_join, wait_until_finished
from offload.exceptions import InvalidJobState
from offload.lifecycle import JobState

_PAIRED = {states.PENDING, states.STARTED, states.SUCCESS, states.FAILURE, states.REVOKED}
"""States after which `info` is read again; for others, it belongs to the state that was read."""


class AsyncResult(TaskReader):
    """A task by its id, read when it is asked for.

    Args:
        id: the id, as `delay()` has returned it, or as the caller has chosen it.
        backend, app: not used; Celery has them.
        task_name: its name, if known.
        parent: the task before it in a chain.
        strict: whether an id that no task has raises; the setting `result_strict` if None.
        ignored: whether the task keeps no result.

    Raises:
        ValueError: without an id.
    """

    TimeoutError = TimeoutError

    def __init__(
        self,
        id: Any,  # Celery's name
        backend: Any = None,
        task_name: str | None = None,
        app: Any = None,
        parent: AsyncResult | None = None,
        strict: bool | None = None,
        ignored: bool = False,
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires a valid id, not {type(id)}.")
        super().__init__(str(id), strict)
        self.backend = backend
        self.app = app
        self.parent = parent
        self.ignored = ignored
        self._task_name = task_name
        self._paired: Known | None = None

    # --- state and result -------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        """The id."""
        return self.id

    @property
    def state(self) -> str:
        """The state, such as "SUCCESS".

        Raises:
            UnknownTaskId: if no task has the id; a view that lets it pass answers 404.
        """
        snapshot = self.read()
        if snapshot is None:
            return states.PENDING
        self._paired = None if snapshot.state in _PAIRED else snapshot
        return snapshot.state

    @property
    def result(self) -> Any:
        """The return value, the exception, or the meta of a state that the task has set.

        After a state of the task's own was read, it is the meta of that state.
        """
        snapshot, self._paired = self._paired or self.read(), None
        return None if snapshot is None else snapshot.result

    @property
    def traceback(self) -> str | None:
        """The traceback of the exception, as text."""
        snapshot = self.read()
        return None if snapshot is None else snapshot.traceback

    status = state
    info = result

    def ready(self) -> bool:
        """Return whether the task has ended."""
        snapshot = self.read()
        return snapshot is not None and snapshot.is_finished

    def successful(self) -> bool:
        """Return whether it has succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Return whether it has failed."""
        return self.state == states.FAILURE

    def exists(self) -> bool:
        """Return whether there is such a task."""
        with suppress(TaskResultDoesNotExist):
            return self.read() is not None
        return False

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,  # the worker's hint wakes it
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Any = None,
        on_interval: Any = None,
        disable_sync_subtasks: bool = True,
        **_: Any,
    ) -> Any:
        """Wait until the task has ended, and return its result.

        Args:
            timeout: seconds; None waits indefinitely.
            propagate: raise the exception of a task that failed or was revoked; else return it.
            interval, no_ack, on_message, on_interval: not used.
            follow_parents: raise the exception of a task before it in a chain that failed.
            callback: called with the id and the result.
            disable_sync_subtasks: refuse to wait within a task.

        Raises:
            TimeoutError: if it has not ended by then.
            OffloadError: in the transaction that enqueued it.
            RuntimeError: within a task.
            UnknownTaskId: if no task has the id.
        """
        if self.ignored:
            return None
        snapshot = self.read()
        if snapshot is None:
            raise TimeoutError(f"There is no task {self.id}, so that waiting for it is in vain.")
        if not snapshot.is_finished:
            if disable_sync_subtasks:
                require_no_join()
            if propagate:
                self._throw(snapshot, follow_parents=follow_parents)
            self.last_read = snapshot = wait_until_finished(self.job_id, self.id, timeout)
        if propagate:
            self._throw(snapshot, follow_parents=follow_parents)
        if callback is not None:
            callback(self.id, snapshot.result)
        return snapshot.result

    wait = get

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """Raise the exception of a task that failed or was revoked; else return the result."""
        snapshot = self.read()
        if snapshot is None:
            return None
        if propagate:
            _raise_failure(snapshot)
        if callback is not None:
            callback(self.id, snapshot.result)
        return snapshot.result

    maybe_reraise = maybe_throw

    def then(
        self, callback: Callable[[AsyncResult], Any], on_error: Any = None, weak: bool = False
    ) -> AsyncResult:
        """Call a function with this when the task has ended; at once if it has, else in a thread.

        Args:
            callback: called if it succeeded.
            on_error: called if it did not.
            weak: not used.
        """

        def call() -> None:
            self.get(propagate=False, disable_sync_subtasks=False)
            function = callback if self.successful() else on_error
            if function is not None:
                function(self)

        if self.ready():
            call()
        else:
            threading.Thread(target=call, name="celery then", daemon=True).start()
        return self

    # --- changes ------------------------------------------------------------------------------

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: Any = None,  # a job is interrupted, and then its process killed
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Revoke a task that waits; with `terminate`, stop it also if it runs.

        Nothing happens to a task that has ended, or that does not exist.
        """
        with suppress(TaskResultDoesNotExist):
            snapshot = self.read()
            if isinstance(snapshot, EagerSnapshot):
                snapshot.revoke()
                snapshot.result = TaskRevokedError("revoked")
            elif snapshot is not None:
                job = snapshot.last_job
                if terminate or job.state != JobState.RUNNING:
                    with suppress(InvalidJobState):
                        results_backend().cancel(str(job.pk))

    def forget(self) -> None:
        """Delete a task that has ended, and those before it in its chain."""
        forget_kept(self.id)
        self.last_read = None
        delete_finished(results_backend(), self.job_id)
        if self.parent is not None:
            self.parent.forget()

    # --- other details ------------------------------------------------------------------------

    @property
    def children(self) -> list[AsyncResult] | None:
        """The tasks that it has called, and those that follow it in a chain or by `link`."""
        snapshot = self.read()
        return None if snapshot is None else [AsyncResult(child) for child in snapshot.children]

    @property
    def args(self) -> list[Any] | None:
        """Its positional arguments."""
        snapshot = self.read()
        return None if snapshot is None else list(snapshot.call[0])

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """Its arguments by name."""
        snapshot = self.read()
        return None if snapshot is None else snapshot.call[1]

    @property
    def name(self) -> str | None:
        """The name of the task."""
        snapshot = self.read()
        return self._task_name if snapshot is None else snapshot.name

    task_name = name

    @property
    def retries(self) -> int | None:
        """How often it was retried."""
        snapshot = self.read()
        return None if snapshot is None else snapshot.retries

    @property
    def queue(self) -> str | None:
        """The queue of its job."""
        snapshot = self.read()
        return None if snapshot is None else snapshot.queue

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        snapshot = self.read()
        return None if snapshot is None else snapshot.date_done

    @property
    def job(self) -> Any:
        """The job of the task, as a result of django-offload.

        Raises:
            TaskResultDoesNotExist: if there is no such job.
        """
        return results_backend().get_result(str(self.job_id))

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, AsyncResult]]:
        """Yield this, its children, and so on, each with the task whose child it is.

        Args:
            intermediate: go on although a task has not ended.

        Raises:
            IncompleteStream: if a task has not ended.
        """
        pending: list[tuple[Any, AsyncResult]] = [(None, self)]
        while pending:
            caller, node = pending.pop(0)
            yield caller, node
            if node.ready():
                pending += [(node, child) for child in node.children or ()]
            elif not intermediate:
                raise IncompleteStream(f"The task {node.id} has not ended.")

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Yield each of `iterdeps` with its result."""
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """Return the result of the last of `iterdeps`."""
        value = None
        for _, value in self.collect():  # noqa: B007  # the last one counts
            pass
        return value

    def as_tuple(self) -> tuple[Any, Any]:
        """Return the id and those of the tasks before it."""
        return (self.id, None if self.parent is None else self.parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """Return the ids of this and of the tasks before it."""
        return [self.id, *(() if self.parent is None else self.parent.as_list())]

    def _get_task_meta(self) -> dict[str, Any]:
        """Return state, result and traceback as of one moment, as other packages expect them."""
        snapshot = self.read()
        if snapshot is None:
            return {"status": states.PENDING, "result": None, "task_id": self.id}
        return {
            "status": snapshot.state,
            "result": snapshot.result,
            "traceback": snapshot.traceback,
            "children": snapshot.children,
            "date_done": snapshot.date_done,
            "task_id": self.id,
        }

    def _throw(self, snapshot: Known, *, follow_parents: bool) -> None:
        """Raise its exception, or that of the first task before it that failed."""
        may_fail = not snapshot.is_finished or snapshot.state in states.PROPAGATE_STATES
        if may_fail and follow_parents:
            self._throw_of_parents()
        _raise_failure(snapshot)

    def _throw_of_parents(self) -> None:
        parents: list[Any] = []
        while (parent := (parents[-1] if parents else self).parent) is not None:
            parents.append(parent)
        for parent in reversed(parents):
            parent.maybe_throw()

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return self.id == (other.id if isinstance(other, AsyncResult) else other)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, None, self._task_name, None, self.parent, self.strict)


def _raise_failure(snapshot: Known) -> None:
    if snapshot.state in states.PROPAGATE_STATES:
        error = snapshot.result
        raise error if isinstance(error, BaseException) else Exception(error)
