"""E-mail in the background: a mailer that queues what another mailer sends.

    MAILERS = {
        "default": {"BACKEND": "offload.mail.EmailBackend", "OPTIONS": {"mailer": "smtp"}},
        "smtp": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": {...}},
    }

On Django 6.0, which has no MAILERS: `EMAIL_BACKEND = "offload.mail.EmailBackend"`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from datetime import timedelta
from typing import Any, cast

from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error as DatabaseLayerError
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskException

from offload.conf import did_you_mean
from offload.exceptions import InvalidArguments, JobTimeout
from offload.mail.delivery import (
    MaybeSent,
    TemporaryFailure,
    deliver,
    is_temporary,
    is_temporary_code,
    readable,
)
from offload.mail.message import StoredMessage, store
from offload.policies import Exponential
from offload.serialization import encode_arguments
from offload.task_lookup import with_options
from offload.tasks import Call, OffloadTask

__all__ = ["EmailBackend", "MaybeSent", "TemporaryFailure", "send_message"]

logger = logging.getLogger("offload.mail")

BACKOFF = Exponential(30, maximum=3600)


class EmailBackend(BaseEmailBackend):
    """Queues every message as a job of its own, in the caller's transaction.

    Each attribute is an option: an entry of MAILERS sets it in OPTIONS, a subclass as its own.

    Attributes:
        mailer: alias in MAILERS of the mailer that really sends.
        email_backend: path of the backend that really sends, in a project without MAILERS.
        queue_name: queue of the jobs.
        task_backend: alias in TASKS of the backend that gets the jobs.
        leave_out: attributes of messages that are not stored.
    """

    mailer: str = ""
    email_backend: str = "django.core.mail.backends.smtp.EmailBackend"
    queue_name: str = "default"
    task_backend: str = "default"
    leave_out: Collection[str] = ("context",)

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:  # noqa: FBT001, FBT002  # Django's
        for name in ("mailer", "email_backend", "queue_name", "task_backend", "leave_out"):
            if name in options:
                setattr(self, name, options.pop(name))
        if any([options.pop("username", None), options.pop("password", None)]):
            raise ImproperlyConfigured(
                "auth_user and auth_password would be stored in the queue. Configure them for "
                "the mailer that really sends."
            )
        super().__init__(**options)
        self.fail_silently = fail_silently
        self.alias: str | None = options.get("alias")
        if self.alias is not None:
            self._check_mailer(self.alias)

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Queue the messages that have recipients in one statement; return how many.

        Raises:
            ValueError: for a header that no message may have, as when sending at once.
            InvalidArguments: for a message that is too large or cannot be stored.
            QueueUnavailable: if the queue's database does not answer.
        """
        try:
            calls = [self._call(each) for each in email_messages if each.recipients()]
            with self._savepoint():
                self.enqueue(calls)
        except (TaskException, DatabaseLayerError):
            if not self.fail_silently:
                raise
            logger.warning("E-mail was not queued, silently as asked.", exc_info=True)
            return 0
        return len(calls)

    def is_temporary(self, error: Exception) -> bool:
        """Tell whether a message that was not sent because of `error` is tried again.

        A subclass may add to it what the mailer of a provider raises.
        """
        return is_temporary(error)

    def enqueue(self, calls: list[Call], **options: Any) -> None:
        """Enqueue `send_message` for each call."""
        task = with_options(
            send_message, queue_name=self.queue_name, backend=self.task_backend, **options
        )
        if calls:
            cast("OffloadTask", task).enqueue_many(calls)

    def sender(self) -> BaseEmailBackend:
        """Return the mailer that really sends."""
        if self.alias is None:
            sender = mail.get_connection(self.email_backend)
        else:
            sender = mail.mailers[self.mailer]
        if isinstance(sender, EmailBackend):
            raise ImproperlyConfigured(
                f"The mailer {self.mailer or self.email_backend!r} queues e-mail too: name the "
                "one that really sends."
            )
        return sender

    def _check_mailer(self, alias: str) -> None:
        mailers: Any = mail.mailers
        known = [name for name in mailers if name != alias]
        if self.mailer not in known:
            raise mail.InvalidMailer(
                "OPTIONS['mailer'] must be the alias of the mailer that really sends, not "
                f"{self.mailer!r}.{did_you_mean(self.mailer, known) if known else ''}",
                alias=alias,
            )

    def _call(self, message: Any) -> Call:
        call = ([store(message, self.leave_out)], {"mailer": self.alias})
        settings = getattr(task_backends[self.task_backend], "settings", None)
        if settings is not None:
            self._check_size(message, call, settings.max_arguments_size)
        return call

    def _check_size(self, message: Any, call: Call, limit: int) -> None:
        size = len(encode_arguments(*call, limit=sys.maxsize)[0].encode())
        if size > limit:
            raise InvalidArguments(
                f"The e-mail {str(message.subject)!r} is {size:,} bytes in the queue; at most "
                f"{limit:,} are allowed. Link to large files instead of attaching them, send it "
                "without the queue through the mailer that really sends, or raise "
                f"TASKS[{self.task_backend!r}]['OPTIONS']['max_arguments_size']."
            )

    def _savepoint(self) -> AbstractContextManager[None]:
        """What fails silently must not take the caller's transaction with it."""
        settings = getattr(task_backends[self.task_backend], "settings", None)
        if not self.fail_silently or settings is None:
            return nullcontext()
        savepoint: AbstractContextManager[None] = transaction.atomic(settings.database)
        return savepoint


def _declare(**options: Any) -> Callable[[Callable[..., Any]], OffloadTask]:
    """Make a task that is validated when it is enqueued.

    Only then is known which backend and which queue the settings name for e-mail.
    """

    def decorate(func: Callable[..., Any]) -> OffloadTask:
        task = object.__new__(OffloadTask)
        for field in fields(OffloadTask):
            value = options.get(field.name, field.default)
            object.__setattr__(task, field.name, func if field.name == "func" else value)
        return task

    return decorate


@_declare(
    max_attempts=10,
    backoff=BACKOFF,
    retry_on=(TemporaryFailure,),
    no_retry_on=(JobTimeout,),  # whoever was interrupted from outside may have sent it
    timeout=1800,
    title="E-mail",
)
def send_message(
    message: dict[str, Any], mailer: str | None = None, recipients: list[str] | None = None
) -> dict[str, Any]:
    """Send one stored message.

    Recipients that are refused for now, while others are accepted, get a job of their own.

    Args:
        message: the message as `store` returns it.
        mailer: alias in MAILERS of the mailer that queued it; None in a project without.
        recipients: to whom it is sent; everybody it is addressed to if None.

    Returns:
        The number of messages `sent`, and the server's answer for each recipient `refused`.
    """
    queueing, sender = _mailers(mailer)
    delivery = deliver(sender, StoredMessage(message, recipients), queueing.is_temporary)
    later = [to for to, (code, _) in delivery.refused.items() if is_temporary_code(code)]
    if later:
        queueing.enqueue(
            [([message], {"mailer": mailer, "recipients": later})],
            run_after=timedelta(seconds=BACKOFF.delay(1)),
        )
    refused = {to: readable(said) for to, said in delivery.refused.items()}
    if refused:
        logger.warning("An e-mail was sent, but not to %s.", refused)
    return {"sent": delivery.sent, "refused": refused}


def _mailers(alias: str | None) -> tuple[EmailBackend, BaseEmailBackend]:
    """Return the mailer that queued a message and the one that sends it, by today's settings."""
    if hasattr(mail, "mailers"):
        found = mail.mailers["default" if alias is None else alias]
    else:
        found = mail.get_connection()
    if isinstance(found, EmailBackend):
        return found, found.sender()
    return EmailBackend(), found
