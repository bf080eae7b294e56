"""The email backend that enqueues each message instead of sending it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error as DatabaseLayerError
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import TaskException

from offload.backends.base import OffloadBackend
from offload.conf import BackendOptions, did_you_mean
from offload.exceptions import FailureLoop, InvalidArguments
from offload.mail.delivery import is_temporary
from offload.mail.message import serialize_message
from offload.serialization import encode_arguments
from offload.task_lookup import find_task, with_options
from offload.tasks import Call, OffloadTask

logger = logging.getLogger("offload.mail")

SEND_MESSAGE = "offload.mail.tasks.send_message"
"""Path of the task. It is not imported, because its module imports this one."""


class EmailBackend(BaseEmailBackend):
    """A mailer that enqueues each message as its own job, in the caller's transaction.

    Each attribute is an option: set it in OPTIONS of an entry of MAILERS, or in a subclass.

    Attributes:
        mailer: alias in MAILERS of the mailer that sends.
        email_backend: path of the email backend that sends, in a project without MAILERS.
        queue_name: queue of the jobs.
        task_backend: alias in TASKS of the backend of the jobs.
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
        username, password = options.pop("username", None), options.pop("password", None)
        if username or password:
            raise ImproperlyConfigured(
                "auth_user and auth_password would be stored in the queue. Configure them for "
                "the mailer that sends."
            )
        super().__init__(**options)
        self.fail_silently = fail_silently
        self.alias: str | None = options.get("alias")
        if self.alias is not None:
            self._check_mailer(self.alias)

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Enqueue the messages that have recipients, in one statement; return their number.

        A report about a report that could not be sent is written to standard error instead.

        Raises:
            ValueError: for a forbidden header, as any other mailer would raise.
            InvalidArguments: for a message that is too large or cannot be stored.
            QueueUnavailable: if the queue's database does not respond.
        """
        try:
            calls = [self._call(message) for message in email_messages if message.recipients()]
            with self._savepoint():
                self.enqueue(calls)
        except FailureLoop as error:
            # Not logged and not raised: the caller may be the handler of a logger.
            sys.stderr.write(f"An email was not enqueued. {error}\n")
            return 0
        except (TaskException, DatabaseLayerError):
            if not self.fail_silently:
                raise
            logger.warning("Email was not enqueued (fail_silently=True).", exc_info=True)
            return 0
        return len(calls)

    def is_temporary(self, error: Exception) -> bool:
        """Return True if a message should be retried that was not sent because of `error`.

        Override this to add the temporary errors of an email provider.
        """
        return is_temporary(error)

    def enqueue(self, calls: list[Call], **options: Any) -> None:
        """Enqueue a job of `send_message` for each call."""
        if not calls:
            return
        send_message = with_options(
            find_task(SEND_MESSAGE),
            queue_name=self.queue_name,
            backend=self.task_backend,
            **options,
        )
        cast("OffloadTask[..., Any]", send_message).enqueue_many(calls)

    def sending_mailer(self) -> BaseEmailBackend:
        """Return the mailer that sends.

        Raises:
            ImproperlyConfigured: if that mailer only enqueues messages, too.
        """
        if self.alias is None:
            sending_mailer = mail.get_connection(self.email_backend)
        else:
            sending_mailer = mail.mailers[self.mailer]
        if isinstance(sending_mailer, EmailBackend):
            raise ImproperlyConfigured(
                f"The mailer {self.mailer or self.email_backend!r} enqueues email, too. Name a "
                "mailer that sends it."
            )
        return sending_mailer

    def _check_mailer(self, alias: str) -> None:
        mailers: Any = mail.mailers
        other_aliases = [name for name in mailers if name != alias]
        if self.mailer not in other_aliases:
            hint = did_you_mean(self.mailer, other_aliases) if other_aliases else ""
            raise mail.InvalidMailer(
                "OPTIONS['mailer'] must be the alias of the mailer that sends, not "
                f"{self.mailer!r}.{hint}",
                alias=alias,
            )

    def _call(self, message: Any) -> Call:
        """Return the arguments with which `send_message` sends a message."""
        call = ([serialize_message(message, self.leave_out)], {"mailer": self.alias})
        settings = self._task_settings()
        if settings is not None:
            self._check_size(message, call, settings.max_arguments_size)
        return call

    def _check_size(self, message: Any, call: Call, max_bytes: int) -> None:
        encoded, *_ = encode_arguments(*call, max_bytes=sys.maxsize)
        size = len(encoded.encode())
        if size > max_bytes:
            raise InvalidArguments(
                f"The email {str(message.subject)!r} needs {size:,} bytes in the queue; the limit "
                f"is {max_bytes:,}. Link to large files instead of attaching them, send the "
                "message directly with the mailer that sends, or raise "
                f"TASKS[{self.task_backend!r}]['OPTIONS']['max_arguments_size']."
            )

    def _savepoint(self) -> AbstractContextManager[None]:
        """Return a savepoint, so that an ignored error does not break the caller's transaction."""
        settings = self._task_settings()
        if not self.fail_silently or settings is None:
            return nullcontext()
        savepoint: AbstractContextManager[None] = transaction.atomic(settings.database)
        return savepoint

    def _task_settings(self) -> BackendOptions | None:
        """Return the options of the task backend; None if it belongs to another package."""
        backend = task_backends[self.task_backend]
        return backend.settings if isinstance(backend, OffloadBackend) else None


def find_mailers(alias: str | None) -> tuple[EmailBackend, BaseEmailBackend]:
    """Return the mailer that enqueued a message, and the one that sends it.

    Both are those of the current settings, which may have changed since then.

    Args:
        alias: alias in MAILERS of the mailer that enqueued the message; None without MAILERS.
    """
    if hasattr(mail, "mailers"):
        mailer = mail.mailers["default" if alias is None else alias]
    else:
        mailer = mail.get_connection()
    if isinstance(mailer, EmailBackend):
        return mailer, mailer.sending_mailer()
    return EmailBackend(), mailer
