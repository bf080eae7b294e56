"""Deletes expired sessions."""

from __future__ import annotations

from importlib import import_module
from threading import Event
from time import monotonic
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import db
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils import timezone

from offload.context import progress

BATCH_SIZE = 1_000
"""Sessions that one transaction deletes."""

pause = Event().wait
"""Waits for a number of seconds."""


def clear_expired() -> int | None:
    """Delete the expired sessions of the project's session engine.

    Returns:
        Their number; None if the engine does not tell.
    """
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore
    if _clears_rows(store):
        return _delete_rows(store.get_model_class())
    try:
        store.clear_expired()
    except NotImplementedError as error:
        raise ImproperlyConfigured(
            f"SESSION_ENGINE {settings.SESSION_ENGINE!r} cannot clear expired sessions."
        ) from error
    return None


def _clears_rows(store: Any) -> bool:
    """Return whether an engine deletes rows of a table, as Django's `db` and `cached_db` do."""
    of_django: Any = db.SessionStore.clear_expired
    return getattr(store.clear_expired, "__func__", None) is of_django.__func__


def _delete_rows(model: Any) -> int:
    """Delete in batches; on SQLite others write in the pauses, which last as long as a batch."""
    sessions = model.objects.using(router.db_for_write(model))
    expired = sessions.filter(expire_date__lt=timezone.now())
    deleted = 0
    while True:
        started_at = monotonic()
        batch = list(expired.order_by("expire_date").values_list("pk", flat=True)[:BATCH_SIZE])
        # Not those that a request has prolonged meanwhile.
        deleted += int(expired.filter(pk__in=batch).delete()[0])
        progress(deleted)
        if len(batch) < BATCH_SIZE:
            return deleted
        pause(monotonic() - started_at)
