"""System checks of mailers that enqueue email."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.conf import settings as _settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask
from django.utils.log import AdminEmailHandler
from django.utils.module_loading import import_string

from offload.mail.backend import SEND_MESSAGE, EmailBackend
from offload.task_lookup import find_task, with_options

settings: Any = _settings  # the stubs do not know MAILERS
type Messages = Iterator[CheckMessage]

DEFAULT = "default"
HINT = "Its own options are mailer, queue_name, task_backend, priority and leave_out."
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


def check_mailers() -> Messages:
    """Check the mailers that enqueue: their mistakes would show when the first email is sent."""
    names = list(settings.MAILERS) if _has_mailers() else [settings.EMAIL_BACKEND]
    for name in names:
        if _enqueues(name) and (problem := _find_problem(name)):
            yield Error(f"{_setting(name)}: {problem}", hint=HINT, id="offload.E031")


def check_error_reports() -> Messages:
    """Check that reports of errors do not wait in the queue whose errors they report."""
    for handler in _handlers() if settings.ADMINS else ():
        if not isinstance(handler, AdminEmailHandler):
            continue
        if _has_mailers():
            name, way_out = getattr(handler, "using", None) or DEFAULT, '"using": "<its alias>"'
        else:
            name, way_out = handler.email_backend, f'"email_backend": "{SMTP_BACKEND}"'
        if _enqueues(name or settings.EMAIL_BACKEND):
            yield Warning(
                f"LOGGING mails errors to ADMINS with {_setting(name)}, which enqueues them: the "
                "report is lost if the transaction is rolled back or the database fails, and the "
                "failure of a report is not reported.",
                hint=f"Name a mailer that sends at once: in LOGGING, add {way_out} to the handler "
                "of class django.utils.log.AdminEmailHandler.",
                id="offload.W032",
            )
            return


def _has_mailers() -> bool:
    """Return whether the settings use MAILERS, which Django 6.0 does not have."""
    return hasattr(mail, "mailers") and hasattr(settings, "MAILERS")


def _setting(name: str) -> str:
    return f"MAILERS[{name!r}]" if _has_mailers() else f"the email backend {name!r}"


def _enqueues(name: str) -> bool:
    """Return whether a mailer enqueues; False if it cannot be imported, which Django reports."""
    path = settings.MAILERS.get(name, {}).get("BACKEND", SMTP_BACKEND) if _has_mailers() else name
    try:
        mailer_class = import_string(path)
    except ImportError:
        return False
    return isinstance(mailer_class, type) and issubclass(mailer_class, EmailBackend)


def _find_problem(name: str) -> str:
    """Return why a mailer could not enqueue or send; "" if it can."""
    try:
        mailer: Any = mail.mailers[name] if _has_mailers() else import_string(name)()
        mailer.sending_mailer()
        task = with_options(
            find_task(SEND_MESSAGE), queue_name=mailer.queue_name, backend=mailer.task_backend
        )
        task_backends[mailer.task_backend].validate_task(task)
    except (ImproperlyConfigured, InvalidTask, ImportError, TypeError) as error:
        return str(error)
    if isinstance(mailer.leave_out, str):
        return f"OPTIONS['leave_out'] must be a list of names, not {mailer.leave_out!r}."
    return ""


def _handlers() -> Iterator[logging.Handler]:
    """Yield the handlers of all loggers."""
    loggers = logging.root.manager.loggerDict.values()
    for logger in (logging.root, *loggers):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers
