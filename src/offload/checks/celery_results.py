"""Checks of Celery's result backend `offload://`."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings
from django.core.checks import Error, Warning  # noqa: A004  # Django's name
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from offload.backends.base import offload_backends
from offload.checks.messages import Messages
from offload.store import get_store
from offload.store.celery_records import CELERY


def check_celery_results() -> Messages:
    """Check the settings of Celery that name the result backend, if they do."""
    url = getattr(settings, "CELERY_RESULT_BACKEND", None)
    if not isinstance(url, str) or not url.startswith(CELERY):
        return
    alias = url.removeprefix(CELERY).strip("/") or DEFAULT_DB_ALIAS
    if alias not in connections:
        yield Error(
            f"CELERY_RESULT_BACKEND is {url!r}, but {alias!r} is not in DATABASES "
            f"({', '.join(sorted(connections))}).",
            hint="Write 'offload://' for the database 'default', or 'offload://ALIAS' for another.",
            id="offload.E085",
        )
    elif alias not in _databases():
        yield Warning(
            f"No page shows Celery's tasks: no backend in TASKS has the database {alias!r}, which "
            "CELERY_RESULT_BACKEND names.",
            hint=f"Add a backend of django-offload to TASKS with OPTIONS['database'] = {alias!r}.",
            id="offload.W086",
        )
    if getattr(settings, "CELERY_TASK_IGNORE_RESULT", False):
        yield Warning(
            "Celery's tasks have no results in django-offload, because CELERY_TASK_IGNORE_RESULT "
            "is set.",
            hint="Remove it, or set ignore_result=False for the tasks whose results you need.",
            id="offload.W087",
        )


def _databases() -> set[str]:
    """Return the databases of the backends in TASKS; one with wrong options is left out."""
    found = set()
    for backend in offload_backends():
        with suppress(ImproperlyConfigured):  # its own check reports it
            found.add(get_store(backend.settings.database).using)
    return found
