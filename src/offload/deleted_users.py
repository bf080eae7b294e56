"""Jobs lose their owner with the user: a new user may get the same primary key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete

from offload.backends.base import offload_backends
from offload.owners import owner_of_user
from offload.store import get_store
from offload.store.errors import explain

logger = logging.getLogger("offload")


class _Deletions(threading.local):
    """The users that this thread is deleting: their owners by primary key, by database."""

    def __init__(self) -> None:
        self.owners: dict[str, dict[Any, str]] = {}


_deletions = _Deletions()


def watch_deletions() -> None:
    """Disown the jobs of each user who is deleted from now on."""
    try:
        user_model = apps.get_model(settings.AUTH_USER_MODEL)
    except LookupError:  # the project has no users
        return
    # Django sends the signals of a proxy's instances with the proxy as the sender.
    proxies = [model for model in apps.get_models() if model._meta.proxy]
    for model in [user_model, *(proxy for proxy in proxies if issubclass(proxy, user_model))]:
        pre_delete.connect(_note_user, sender=model, dispatch_uid="offload")
        post_delete.connect(_disown_jobs, sender=model, dispatch_uid="offload")


def _note_user(*, instance: Any, using: str, **_: Any) -> None:
    _deletions.owners.setdefault(using, {})[instance.pk] = owner_of_user(instance)


def _disown_jobs(*, instance: Any, using: str, **_: Any) -> None:
    """Disown the jobs of all users of this deletion, by one search after the first of them.

    The first signal follows when all of them are deleted. An earlier deletion may have failed, so
    those who still exist keep their jobs.
    """
    owners = _deletions.owners.pop(using, {})
    if owners:
        users: QuerySet[Any] = QuerySet(instance._meta.concrete_model, using=using)
        for pk in users.filter(pk__in=owners).values_list("pk", flat=True):
            del owners[pk]
    if not owners:
        return
    for database in _databases():
        disown = partial(_disown, database, list(owners.values()))
        if database == using:
            disown()
        else:
            transaction.on_commit(disown, using=using)


def _databases() -> list[str]:
    """Return the databases in which backends store jobs."""
    databases: set[str] = set()
    for backend in offload_backends():
        try:
            if backend.supports_live:
                databases.add(get_store(backend.settings.database).using)
        except ImproperlyConfigured:  # the backend's check reports it
            continue
    return sorted(databases)


def _disown(database: str, owners: Collection[str]) -> None:
    try:
        with transaction.atomic(database):
            get_store(database).disown(owners)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Jobs keep deleted users as their owners. %s", explain(error, database))
