"""Sends messages to Celery's broker, in a thread of each process that enqueues jobs."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from django.utils.module_loading import import_string

from offload.text import to_terminal_text

if TYPE_CHECKING:
    from offload.backends.messages import JobMessage

logger = logging.getLogger("offload.broker")

MAX_IDS = 500
"""Jobs of one message, at most."""
MIN_MESSAGES = 8
"""Many jobs are divided among this many messages at least, so that as many processes start some."""
SHARING = 8192
"""Of n jobs, n² / SHARING share a message: each of 100 has its own, and 1,000 have eight."""
MAX_PENDING = 100_000
"""Jobs that wait for the broker in memory, at most; it costs about 30 MiB."""
FAILURE_PAUSE = 1.0
"""Seconds without a try after one that failed, as a try with a dead broker may take seconds."""
EXIT_TIMEOUT = 5.0
"""Seconds that a process which exits waits for its messages to be sent."""

type Group = tuple[str, bool, int, bool, bool]
"""Queue, kind, priority, `has_limit` and `may_wait`: what the jobs of a message have in common."""

DEFAULT_APPLICATION = "offload.backends.celery.application.application"


class BrokerOptions(NamedTuple):
    """The options of a backend that are about the broker.

    Attributes:
        application: dotted path of the Celery application; empty for that of this package.
        queue_prefix: what precedes the names of queues at the broker.
        resend_after: seconds after which another message is sent about a job that still waits.
    """

    application: str
    queue_prefix: str
    resend_after: float


class CeleryMessenger:
    """Sends messages in the background: no request waits for the broker.

    A message that cannot be sent is dropped: a worker with duties finds the job's row, and sends
    another one later.

    Args:
        backend: alias in TASKS.
        options: the backend's options.

    Attributes:
        resend_after: seconds after which another message is sent about a job that still waits.
        failures: how often messages were dropped.
    """

    def __init__(self, backend: str, options: BrokerOptions) -> None:
        self.resend_after = options.resend_after
        self.failures = 0
        self._backend = backend
        self._path = options.application or DEFAULT_APPLICATION
        self._prefix = options.queue_prefix
        self._producer: Any = None
        """What sends messages, with a connection of this process."""
        self._reset()
        _messengers.add(self)

    def _reset(self) -> None:
        """Forget what is its parent's in a forked process: messages, thread and connection."""
        if self._producer is not None:
            _inherited.append(self._producer)
            self._producer = None
        self._changed = threading.Condition()
        self._pending: list[JobMessage] = []
        self._is_sending = False
        self._is_down = False
        """Whether the last messages could not be sent."""
        self._thread: threading.Thread | None = None

    def send(self, messages: Iterable[JobMessage]) -> None:
        """Send messages in the background, without waiting; never raises."""
        new = list(messages)
        if not new:
            return
        with self._changed:
            room = MAX_PENDING - len(self._pending)
            self.failures += len(new) > room
            self._pending += new[:room]
            if self._thread is None and not self._start_thread():
                self._pending.clear()
                self.failures += 1
            self._changed.notify_all()

    def _start_thread(self) -> bool:
        """Start the thread that sends; return False if the process has too many."""
        thread = threading.Thread(target=self._run, name="offload-messenger", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until all messages were sent or dropped; return False after a timeout in seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._pending or self._is_sending), timeout=timeout
            )

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_sending = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._pending)
                pending, self._pending = self._pending, []
                self._is_sending = True
            try:
                self._deliver(pending)
            except Exception as error:  # noqa: BLE001  # each transport has its own
                self._is_down = True
                self._drop(error)
            else:
                self._is_down = False

    def _deliver(self, pending: Sequence[JobMessage]) -> None:
        """Send messages; after an error once more, unless the broker was down before.

        The broker may have closed a connection that was idle for long. A message that is sent
        twice does no harm.
        """
        try:
            self._publish(pending)
        except Exception:
            self._close()
            if self._is_down:
                raise
            self._publish(pending)

    def _publish(self, pending: Sequence[JobMessage]) -> None:
        from offload.backends.celery.application import (  # noqa: PLC0415  # needs Celery
            RUN,
            broker_priority,
        )

        app: Any = import_string(self._path)
        if self._producer is None:
            # Not one of Celery's pools: a fork by os.fork() would share its connections.
            self._producer = app.amqp.Producer(app.connection_for_write())
        for (queue, is_async, priority, *flags), ids in group_messages(pending):
            app.send_task(
                RUN,
                (self._backend, queue, is_async, ids, *flags),
                queue=f"{self._prefix}{queue}",
                priority=broker_priority(priority, app),
                producer=self._producer,
                ignore_result=True,
                retry=False,
                add_to_parent=False,
            )

    def _close(self) -> None:
        """Close the connection to the broker, which has failed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # each transport has its own
                producer.connection.release()

    def _drop(self, error: Exception) -> None:
        """Drop the messages that wait, and send none for a while."""
        message = "Celery's broker does not accept messages (%s). Workers with duties resend them."
        logger.warning(message, to_terminal_text(error))
        with self._changed:
            self.failures += 1
            self._pending.clear()
            self._is_sending = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: False, timeout=FAILURE_PAUSE)
            self.failures += bool(self._pending)
            self._pending.clear()


def group_messages(pending: Iterable[JobMessage]) -> Iterator[tuple[Group, list[str]]]:
    """Yield messages: what the jobs of each have in common, and the ids of these jobs."""
    groups: defaultdict[Group, list[str]] = defaultdict(list)
    for queue, is_async, priority, pk, has_limit, may_wait in pending:
        groups[queue, is_async, priority, has_limit, may_wait].append(pk)
    for group, ids in groups.items():
        count = len(ids)
        size = max(1, min(MAX_IDS, count // MIN_MESSAGES, count**2 // SHARING))
        for some in batched(ids, size):
            yield group, list(some)


@cache
def get_messenger(backend: str, options: BrokerOptions) -> CeleryMessenger:
    """Return the messenger that all of a backend's objects in this process share."""
    return CeleryMessenger(backend, options)


_inherited: list[Any] = []
"""Producers of the parent of this process: to close their connections is not ours."""
_messengers: WeakSet[CeleryMessenger] = WeakSet()
"""Those of this process."""


def _reset_all() -> None:
    for messenger in list(_messengers):
        messenger._reset()  # noqa: SLF001  # of this module


def flush_all() -> None:
    """Wait until the messages of this process were sent or dropped; give up after a while."""
    for messenger in list(_messengers):
        if not messenger.flush(EXIT_TIMEOUT):
            logger.warning("Messages were not sent before the exit. They are sent later.")


os.register_at_fork(after_in_child=_reset_all)
atexit.register(flush_all)
