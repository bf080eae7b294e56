"""Makes jobs of messages, each with the id of its task."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction

from offload.backends.base import get_backend
from offload.celery.canvas import chain, maybe_signature
from offload.celery.canvas.plans import publish_canvas
from offload.celery.encoding.values import decode
from offload.celery.exceptions import NotRegistered
from offload.celery.tasks.ids import job_id
from offload.exceptions import OffloadError
from offload.failpoints import failpoint
from offload.from_celery.called import CannotCall, PreparedCall, prepare_call
from offload.from_celery.messages import CannotRead, Message, ReadMessage, read_message
from offload.reserved_ids import reserve_id
from offload.store.celery_records import CELERY


class CannotCarry(ValueError):
    """Raised for a message that stays in the broker; its text says why."""


class Carriable(NamedTuple):
    """A message that can become a job.

    Attributes:
        read: the call, and what follows it.
        prepared: the call in the form that the backend takes.
    """

    read: ReadMessage
    prepared: PreparedCall

    @property
    def job_id(self) -> UUID:
        """The id of the job, which is that of the task."""
        return job_id(self.read.task_id)

    def is_job(self) -> bool:
        """Return whether it is a job already.

        Raises:
            CannotCarry: if its row is one that Celery's workers write to.
        """
        rows = get_backend(self.prepared.task.backend).find([self.job_id])
        if any(row.backend == CELERY for row in rows):
            raise CannotCarry(
                f"The result backend {CELERY} has the row of this task. Let Celery's workers "
                "finish it."
            )
        return bool(rows)

    def insert(self) -> bool:
        """Add the job in a transaction of its own; return False if there is one already.

        Raises:
            CannotCarry: if the backend refuses it.
        """
        backend: Any = get_backend(self.prepared.task.backend)
        try:
            with transaction.atomic(backend.settings.database):
                if self.is_job():
                    return False
                self._enqueue(backend)
        except IntegrityError:  # another run of the command was faster
            if self.is_job():
                return False
            raise
        except CannotCarry:
            raise
        except (OffloadError, ValueError, TypeError) as error:
            raise CannotCarry(f"{type(error).__name__}: {error}") from error
        failpoint("from_celery.inserted")
        return True

    def _enqueue(self, backend: Any) -> None:
        task, args, kwargs, _ = self.prepared
        read = self.read
        if read.chain or read.link or read.link_error:
            self._enqueue_with_followers()
            return
        with reserve_id(self.job_id):
            backend.enqueue(task, args, kwargs)

    def _enqueue_with_followers(self) -> None:
        """Add the task and those that follow it, as a workflow."""
        called, read = self.read.called, self.read
        given = {
            **called.options,
            "eta": called.eta,
            "expires": called.expires,
            "headers": called.headers,
            "link": decode(read.link),
            "link_error": decode(read.link_error),
            "priority": max(0, self.prepared.task.priority) // 10,
            "queue": called.queue,
            "task_id": read.task_id,
        }
        options = {name: value for name, value in given.items() if value}
        first = self.prepared.celery_task.signature(decode(called.args), decode(called.kwargs))
        first.set(**options)
        if not read.chain:
            publish_canvas(first, (), {}, {})
            return
        following = [maybe_signature(decode(one)) for one in read.chain]
        last = following[-1].body if following[-1].kind == "chord" else following[-1]
        publish_canvas(chain(first, *following), (), {}, {"task_id": last.id})


class Carrier:
    """Decides which messages can become jobs.

    Args:
        is_redis: whether the broker is Redis, whose priorities are the other way round.
        allow_pickle: whether pickled messages are unpickled.
    """

    def __init__(self, *, is_redis: bool, allow_pickle: bool) -> None:
        self._is_redis = is_redis
        self._allow_pickle = allow_pickle

    def examine(self, message: Message, queue: str) -> Carriable:
        """Return a message as a job that can be inserted.

        Raises:
            CannotCarry: if it has to stay in the broker.
        """
        try:
            read = read_message(message, queue, allow_pickle=self._allow_pickle)
            if read.is_in_chord:
                raise CannotCarry(
                    "It is a task of the header of a chord, whose body only Celery can start. Let "
                    "Celery's workers finish it."
                )
            prepared = prepare_call(read.called, is_redis=self._is_redis)
            _require_followers(read, prepared)
        except (CannotRead, CannotCall, ImproperlyConfigured) as error:
            raise CannotCarry(str(error)) from error
        return Carriable(read, prepared)


def _require_followers(read: ReadMessage, prepared: PreparedCall) -> None:
    """Raise CannotCarry if a task that follows is not one of offload.celery."""
    following = [*read.chain, *read.link, *read.link_error]
    if following and prepared.celery_task is None:
        raise CannotCarry("Other tasks follow it, which needs a task of offload.celery.")
    for one in following:
        try:
            for signature in _all_of(maybe_signature(one)):
                _ = signature.type
        except (NotRegistered, KeyError, TypeError, AttributeError) as error:
            raise CannotCarry(f"A task that follows it: {error}") from error


def _all_of(signature: Any) -> list[Any]:
    """Return the calls of tasks that a signature consists of."""
    if signature.kind in {"chain", "group"}:
        return [one for member in signature.tasks for one in _all_of(member)]
    if signature.kind == "chord":
        return [one for member in [*signature.tasks, signature.body] for one in _all_of(member)]
    return [signature]
