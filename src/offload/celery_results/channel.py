"""How a process writes results: by the caller's connection, in a Celery worker by one of its own.

A task's own connection may be in a transaction, in which its progress would be invisible and might
be rolled back, and Celery closes it after each task. So in a worker one thread writes everything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from django.db import InterfaceError, OperationalError, connections, transaction

from offload.celery_results.library import signals
from offload.lifecycle import JobState
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.base import Store
from offload.store.celery_records import CeleryWrite, CountedPart, EndedPart
from offload.store.hints import MAX_PENDING_CHECKED, publish_after_commit
from offload.store.records import NewJob
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.text import to_terminal_text

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("offload.celery")

MAX_BATCH = 100
"""Operations of one transaction, at most."""

_in_process = threading.Event()
"""Set in the processes of a Celery worker."""


class Channel(ABC):
    """Runs operations of the store of one database.

    Args:
        using: alias in DATABASES.
    """

    def __init__(self, using: str) -> None:
        self.using = using

    @abstractmethod
    def call[T](self, operation: Callable[[Store], T]) -> T:
        """Run an operation in a transaction that is committed, and return its result."""

    @abstractmethod
    def add(self, row: NewJob, progress: str | None) -> None:
        """Add the row of a task that was sent.

        Args:
            row: its columns.
            progress: JSON text.
        """

    @abstractmethod
    def write(self, write: CeleryWrite, *, waits: bool) -> None:
        """Write a state of a task.

        Args:
            write: the state.
            waits: whether to return only when it is stored.
        """


def callers_channel(using: str) -> Channel:
    """Return the way by the caller's connection.

    Args:
        using: alias in DATABASES.
    """
    return _CallersChannel(using)


def workers_channel(using: str) -> Channel:
    """Return the way by the thread of this process.

    Args:
        using: alias in DATABASES.
    """
    return _writer(using)


def is_worker(app: Any) -> bool:
    """Return whether this is a Celery worker, or one of its processes.

    Args:
        app: the Celery application.
    """
    return bool(app.loader.worker_initialized) or _in_process.is_set()


@signals.worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _enter_process(**_kwargs: Any) -> None:
    _in_process.set()


def write_result(write: CeleryWrite, store: Store) -> None:
    """Write a state of a task; log one that comes too late."""
    if not store.write_celery_result(write):
        logger.info(
            "The task %s was not set to %s: its row already has a later state or attempt.",
            write.id,
            write.state,
        )


def end_part(write: CeleryWrite, part: EndedPart, store: Store) -> CountedPart:
    """Write the result of a part of a chord, and count the part, in one transaction."""
    with transaction.atomic(store.using):
        write_result(write, store)
        return store.count_chord_part(part)


class _CallersChannel(Channel):
    """Uses the caller's connection, and its transaction if it is in one."""

    def call[T](self, operation: Callable[[Store], T]) -> T:
        connection = connections[self.using]
        try:
            return operation(get_store(self.using))
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block:
                raise
        connection.close()  # the server may have dropped it
        return operation(get_store(self.using))

    def add(self, row: NewJob, progress: str | None) -> None:
        """Add it after the caller's transaction, whose locks a worker would wait for."""
        if _is_async():
            _writer(self.using).add(row, progress)
            return
        rows = _NewRows(self, [(row, progress)])
        connection = connections[self.using]
        if not connection.in_atomic_block:
            rows()
        elif not rows.join_pending(connection):
            transaction.on_commit(rows, using=self.using, robust=True)

    def write(self, write: CeleryWrite, *, waits: bool) -> None:
        self.call(lambda store: write_result(write, store))
        publish_after_commit(self.using, Hint.CHANGED)


class _NewRows:
    """The rows of the tasks that a transaction has sent; calling it adds them.

    Args:
        channel: how to write.
        rows: columns and progress of each.
    """

    def __init__(self, channel: Channel, rows: list[tuple[NewJob, str | None]]) -> None:
        self._channel = channel
        self.rows = rows

    def __call__(self) -> None:
        for some in batched(self.rows, MAX_ROWS_PER_STATEMENT):
            self._channel.call(partial(_add_rows, some))

    def join_pending(self, connection: BaseDatabaseWrapper) -> bool:
        """Let the hook that waits for the commit add these rows, too; return False without one.

        Django drops a hook if one of its savepoints is rolled back. The messages were sent all the
        same, so the hook keeps only the savepoints that all of its tasks share.
        """
        hooks: list[Any] = connection.run_on_commit[-MAX_PENDING_CHECKED:]
        for savepoints, function, _ in hooks:
            if isinstance(function, _NewRows):
                savepoints.intersection_update(connection.savepoint_ids)
                function.rows += self.rows
                return True
        return False


def _add_rows(rows: Sequence[tuple[NewJob, str | None]], store: Store) -> None:
    store.insert_celery_tasks(rows)


class _Item:
    """An operation that waits for the writer.

    Args:
        operation: what to run.
        write: the state that it writes; None for anything else.
    """

    def __init__(self, operation: Callable[[Store], Any], write: CeleryWrite | None = None) -> None:
        self.operation = operation
        self.write = write
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_done = threading.Event()


class _Writer(Channel):
    """A thread with a connection of its own, which is kept."""

    def __init__(self, using: str) -> None:
        super().__init__(using)
        self._changed = threading.Condition()
        self._pending: list[_Item] = []
        self._thread: threading.Thread | None = None

    def call[T](self, operation: Callable[[Store], T]) -> T:
        return self._wait(self._add(_Item(operation)))  # type: ignore[no-any-return]

    def add(self, row: NewJob, progress: str | None) -> None:
        self._add(_Item(partial(_add_rows, [(row, progress)])))

    def write(self, write: CeleryWrite, *, waits: bool) -> None:
        item = self._add(_Item(lambda store: write_result(write, store), write))
        if waits:
            self._wait(item)

    def _wait(self, item: _Item) -> Any:
        item.is_done.wait()
        if item.error is not None:
            raise item.error
        return item.result

    def _add(self, item: _Item) -> _Item:
        with self._changed:
            self._pending = [each for each in self._pending if not _is_outdated(each, item)]
            self._pending.append(item)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="offload-results", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return item

    def _run(self) -> None:
        get_store(self.using).dedicate_connection()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                batch = self._pending[:MAX_BATCH]
                del self._pending[:MAX_BATCH]
            self._run_batch(batch)
            for item in batch:
                if item.error is not None and not item.is_done.is_set():
                    _log_failure(item)
                item.is_done.set()
            get_notifier(self.using).notify(Hint.CHANGED)

    def _run_batch(self, batch: Sequence[_Item]) -> None:
        """Run operations in one transaction; if that fails, each in one of its own."""
        try:
            self._run_together(batch)
        except Exception as error:  # noqa: BLE001  # raised again in the thread that waits
            if len(batch) == 1:
                batch[0].error = error
                return
            for item in batch:
                self._run_batch([item])

    def _run_together(self, batch: Sequence[_Item]) -> None:
        try:
            self._run_once(batch)
        except (OperationalError, InterfaceError):  # the server may have dropped the connection
            connections[self.using].close()
            self._run_once(batch)

    def _run_once(self, batch: Sequence[_Item]) -> None:
        store = get_store(self.using)
        if len(batch) == 1:
            batch[0].result = batch[0].operation(store)
            return
        with transaction.atomic(self.using):
            for item in batch:
                item.result = item.operation(store)


def _is_async() -> bool:
    """Return whether this thread runs an event loop, which no query may block."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_outdated(earlier: _Item, item: _Item) -> bool:
    """Return whether a state needs not be written, as a newer one of the same attempt waits."""
    first, second = earlier.write, item.write
    if first is None or second is None or first.id != second.id:
        return False
    return first.state == JobState.RUNNING and first.attempt == second.attempt > 0


def _log_failure(item: _Item) -> None:
    """Log an error that no thread waits for."""
    what = f"a state of the task {item.write.id}" if item.write else "a task or a part of a chord"
    logger.warning("The result backend could not store %s: %s", what, to_terminal_text(item.error))


@cache
def _writer(using: str) -> _Writer:
    return _Writer(using)


# A forked process has no thread of its parent.
os.register_at_fork(after_in_child=_writer.cache_clear)
