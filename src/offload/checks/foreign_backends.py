"""Backends that do not know the options of this package's tasks."""

from __future__ import annotations

from contextlib import suppress

from django.tasks import task_backends
from django.tasks.backends.dummy import DummyBackend
from django.tasks.backends.immediate import ImmediateBackend
from django.tasks.exceptions import InvalidTaskBackend

from offload.backends.base import OffloadBackend

WITHOUT_LIMITS = (DummyBackend, ImmediateBackend)
"""Django's backends for tests and development, which run no jobs beside each other."""


def foreign_backend(alias: str) -> str:
    """Return the path of a backend's class if another library has it, so that a check should warn.

    It is empty for a backend of this package or of Django, and for one that cannot be made.
    """
    with suppress(InvalidTaskBackend):
        backend = task_backends[alias]
        if not isinstance(backend, (OffloadBackend, *WITHOUT_LIMITS)):
            return f"{type(backend).__module__}.{type(backend).__qualname__}"
    return ""
