"""`ResultSet` and `GroupResult`: several tasks at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from offload.celery import states
from offload.celery.exceptions import TimeoutError
from offload.celery.result.async_result import AsyncResult
from offload.celery.result.reading import read_together
from offload.celery.result.removal import delete_finished
from offload.celery.result.saved_groups import save_group, saved_group
from offload.celery.result.snapshots import results_backend
from offload.celery.tasks.ids import job_id

MIN_READ_AHEAD, MAX_READ_AHEAD = 10, 1000
"""How many tasks are read together at first, and at most."""


class ResultSet:
    """Several tasks.

    Args:
        results: of the tasks.
        app: not used.
        ready_barrier: not used.
    """

    def __init__(
        self, results: Iterable[AsyncResult], app: Any = None, ready_barrier: Any = None, **_: Any
    ) -> None:
        self.app = app
        self.results: list[Any] = list(results)
        """`AsyncResult`s, and the `GroupResult`s of groups within a group."""

    def add(self, result: AsyncResult) -> None:
        """Add a task, unless it is there."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: AsyncResult | str) -> None:
        """Remove a task; KeyError if it is not there."""
        try:
            self.results.remove(_as_result(result))
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: AsyncResult | str) -> None:
        """Remove a task, if it is there."""
        if _as_result(result) in self.results:
            self.remove(result)

    def update(self, results: Iterable[AsyncResult]) -> None:
        """Add tasks."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Remove all tasks."""
        self.results.clear()

    def ready(self) -> bool:
        """Return whether all have ended."""
        return all(
            each.ready() if isinstance(each, ResultSet) else each.has_ended
            for each in self._read_ahead()
        )

    def waiting(self) -> bool:
        """Return whether any has not ended."""
        return not self.ready()

    def successful(self) -> bool:
        """Return whether all have succeeded."""
        return self.completed_count() == len(self.results)

    def failed(self) -> bool:
        """Return whether any has failed."""
        return any(
            known.failed() if isinstance(known, ResultSet) else _is(known, states.FAILURE)
            for known in self._read()
        )

    def completed_count(self) -> int:
        """Return how many have succeeded."""
        return sum(
            known.successful() if isinstance(known, ResultSet) else _is(known, states.SUCCESS)
            for known in self._read()
        )

    def maybe_throw(self, callback: Any = None, propagate: bool = True) -> None:
        """Raise the exception of the first one that failed."""
        self._read()
        for result in self.results:
            result.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None,
        no_ack: bool = True,
        on_message: Any = None,
        disable_sync_subtasks: bool = True,
        on_interval: Any = None,
    ) -> list[Any] | None:
        """Wait until all have ended; return their results in their order, None with a callback.

        Args:
            timeout: seconds for all together; None waits indefinitely.
            propagate: raise the exception of the first one that is known to have failed, also
                while those before it run; else return it among the results.
            callback: called with the id and the result of each.
            disable_sync_subtasks: that of `AsyncResult.get`.
            interval, no_ack, on_message, on_interval: not used.

        Raises:
            TimeoutError: if they have not ended by then.
            Exception: those of `AsyncResult.get`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        values = []
        for position, result in enumerate(self._read_ahead()):
            if propagate:
                self._throw_known(position)
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if remaining == 0.0 and timeout and not result.ready():
                raise TimeoutError(f"Not all tasks had ended after {timeout:g} s.")
            values.append(
                result.get(
                    timeout=remaining,
                    propagate=propagate,
                    callback=callback,
                    disable_sync_subtasks=disable_sync_subtasks,
                )
            )
        return values if callback is None else None

    join_native = get

    def join(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Do what `get` does, but return an empty list with a callback, as in Celery."""
        return self.get(*args, **kwargs) or []

    def iterate(self, timeout: float | None = None, propagate: bool = True) -> Iterator[Any]:
        """Yield the results of tasks in their order, each when it has ended."""
        for result in self._read_ahead():
            yield result.get(timeout=timeout, propagate=propagate)

    def revoke(
        self, connection: Any = None, terminate: bool = False, signal: Any = None, **_: Any
    ) -> None:
        """Revoke all tasks; see `AsyncResult.revoke`."""
        for result in self.results:
            result.revoke(connection, terminate=terminate, signal=signal)

    def forget(self) -> None:
        """Delete those that have ended."""
        for result in self.results:
            result.forget()

    def then(self, callback: Callable[..., Any], on_error: Any = None, weak: bool = False) -> Any:
        """Call a function with this when all have ended, the second one if not all succeeded."""
        waiting = ResultSet(self.results)

        def call(_: Any = None) -> None:
            function = callback if self.successful() else on_error
            if function is not None:
                function(self)

        def wait() -> None:
            waiting.get(propagate=False, disable_sync_subtasks=False)
            call()

        if self.ready():
            call()
        else:
            threading.Thread(target=wait, name="celery then", daemon=True).start()
        return self

    def _throw_known(self, position: int) -> None:
        """Raise the exception of a task that was read with one that has not ended, and failed."""
        first, *others = self.results[position : position + MAX_READ_AHEAD]
        if not isinstance(first, AsyncResult) or first.has_ended:
            return
        for other in others:
            known = other.last_read if isinstance(other, AsyncResult) else None
            if known is not None and known.is_finished and known.state in states.PROPAGATE_STATES:
                other.get()

    def _read(self, start: int = 0, stop: int | None = None) -> list[Any]:
        """Return what is known of some of the tasks now; groups among them as they are."""
        results = self.results[start:stop]
        tasks = [result for result in results if isinstance(result, AsyncResult)]
        known = iter(read_together(tasks))
        return [next(known) if isinstance(each, AsyncResult) else each for each in results]

    def _read_ahead(self) -> Iterator[Any]:
        """Yield the tasks in their order; each was read with those behind it, if it has ended.

        The longer the row of those that have ended, the more are read together, so that no task is
        read again and again while others run.
        """
        count, stop = MIN_READ_AHEAD, 0
        for position, result in enumerate(self.results):
            is_task = isinstance(result, AsyncResult)
            if position >= stop or (is_task and not result.has_ended):
                stop = position + count
                self._read(position, stop)
                has_ended = not is_task or result.has_ended
                count = min(count * 4, MAX_READ_AHEAD) if has_ended else MIN_READ_AHEAD
            yield result

    def __iter__(self) -> Iterator[AsyncResult]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResultSet) and other.results == self.results

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(result.id for result in self.results)}]>"


class GroupResult(ResultSet):
    """The tasks of a group.

    Args:
        id: of the group.
        results: of its tasks.
        parent: the task before it in a chain.
    """

    def __init__(
        self,
        id: str | None = None,  # Celery's name
        results: Iterable[AsyncResult] = (),
        parent: AsyncResult | None = None,
        **_: Any,
    ) -> None:
        super().__init__(results)
        self.id = id
        self.parent = parent

    def save(self, backend: Any = None) -> None:
        """Keep which tasks belong to it, for `restore`."""
        save_group(str(self.id), [result.id for result in self.results])

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: Any = None) -> GroupResult | None:
        """Return the group with an id; None if it was not saved."""
        ids = saved_group(id)
        return None if ids is None else cls(id, [AsyncResult(one) for one in ids])

    def delete(self, backend: Any = None) -> None:
        """Forget which tasks belong to it, once the job that keeps it has ended."""
        delete_finished(results_backend(), job_id(str(self.id)))

    @property
    def children(self) -> list[AsyncResult]:
        """The tasks."""
        return self.results

    def as_tuple(self) -> tuple[Any, Any]:
        """Return the id, that of the task before it, and those of its tasks."""
        parent = None if self.parent is None else self.parent.as_tuple()
        return (self.id, parent), [result.as_tuple() for result in self.results]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results
        return isinstance(other, str) and other == self.id

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(result.id for result in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)


def _is(known: Any, state: str) -> bool:
    """Return whether a task has a state; an unknown one has none."""
    return known is not None and known.state == state


def _as_result(result: AsyncResult | str) -> AsyncResult:
    return AsyncResult(result) if isinstance(result, str) else result
