"""The backend whose jobs are rows, and which sends messages about them to Celery's workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from inspect import iscoroutinefunction
from typing import Any
from uuid import UUID

from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.tasks import Task
from django.utils.asyncio import async_unsafe

from offload.backends.calls import IN_ASYNC
from offload.backends.celery.checks import check_celery
from offload.backends.celery.messenger import BrokerOptions, CeleryMessenger, get_messenger
from offload.backends.database import DatabaseBackend
from offload.backends.messages import JobMessage
from offload.backends.rows import attempt_limits, attempt_timeout
from offload.lifecycle import JobState
from offload.results import OffloadResult
from offload.store.losses import may_wait
from offload.tasks import Call


class CeleryBackend(DatabaseBackend):
    """A backend whose jobs are rows, and whose workers are Celery's.

    The row is part of the caller's transaction. After the commit, a message with the job's id goes
    to the broker, in the background. The worker that gets it claims the row, so a message too many
    does nothing, and a lost one is sent again.

    TASKS = {"default": {"BACKEND": "offload.backends.celery.CeleryBackend"}}
    """

    @property
    def messenger(self) -> CeleryMessenger:  # type: ignore[override]
        """What sends the messages."""
        options = self.settings
        broker = BrokerOptions(
            options.celery_app, options.celery_queue_prefix, options.resend_after
        )
        return get_messenger(self.alias, broker)

    @async_unsafe(IN_ASYNC.format("enqueue", "aenqueue"))
    def enqueue_many(self, task: Task[..., Any], calls: Iterable[Call]) -> list[OffloadResult[Any]]:
        results = super().enqueue_many(task, calls)
        self._send_after_commit(task, [result for result in results if _may_run(result)])
        return results

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:  # type: ignore[override]
        yield from super().check(**kwargs)
        try:
            application = self.settings.celery_app
        except ImproperlyConfigured:  # which was reported
            return
        yield from check_celery(self.alias, application)

    def _send_after_commit(
        self, task: Task[..., Any], results: Sequence[OffloadResult[Any]]
    ) -> None:
        connection = self._store.connection
        if not results or not (connection.in_atomic_block or connection.get_autocommit()):
            return  # a commit by hand is not seen by Django: the messages are sent later
        is_async = iscoroutinefunction(task.func)
        _, max_worker_losses = attempt_limits(task, self.settings)
        waits = may_wait(attempt_timeout(task, self.settings), max_worker_losses)
        key = self._store.key
        messages = [
            JobMessage(
                task.queue_name,
                is_async,
                task.priority,
                key(UUID(result.id)),
                has_limit=result.state == JobState.LIMITED,
                may_wait=waits,
            )
            for result in results
        ]
        transaction.on_commit(
            partial(self.messenger.send, messages), using=connection.alias, robust=True
        )


def _may_run(result: OffloadResult[Any]) -> bool:
    return result.is_new and result.state in {JobState.READY, JobState.LIMITED}
