"""Imports the modules of the project that a row may name."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from types import ModuleType, TracebackType
from typing import NamedTuple

from django.apps import apps
from django.conf import settings

FAILURE_SECONDS = 5.0
"""Time in which a module whose import failed is not imported again: pages poll."""
MAX_FAILURES = 100
"""Failures are forgotten when there are more."""


class _Failure(NamedTuple):
    """A failed import.

    Attributes:
        until: monotonic time until which it is remembered.
        error: what was raised; None for a module that does not exist.
    """

    until: float
    error: BaseException | None
    traceback: TracebackType | None


_failures: dict[str, _Failure] = {}


def task_module(path: str) -> ModuleType | None:
    """Return the module at a path, an empty one if it does not exist; None if it is not allowed.

    Modules that are not imported yet must belong to an installed app or to the project. Otherwise
    whoever can write a row could run any module that Python can import.

    Raises:
        BaseException: any that the module raises when it is imported.
    """
    if path in sys.modules:
        return import_module(path)  # another thread may still be importing it
    if not _belongs_to_project(path):
        return None
    failure = _failures.get(path)
    if failure is None or time.monotonic() >= failure.until:
        return _import(path)
    if failure.error is None:
        return ModuleType(path)
    raise failure.error.with_traceback(failure.traceback)


def _belongs_to_project(path: str) -> bool:
    """Return whether a module is in a package of an app, of the settings or of the URLs."""
    names = path.split(".")
    if any(name.startswith("__") for name in names):  # __main__ runs a program
        return False
    packages = {config.name for config in apps.get_app_configs()}
    for setting in ("SETTINGS_MODULE", "ROOT_URLCONF"):
        package, dot, _ = str(getattr(settings, setting, None) or "").partition(".")
        if dot:
            packages.add(package)
    return any(".".join(names[:length]) in packages for length in range(1, len(names) + 1))


def _import(path: str) -> ModuleType:
    """Import a module; remember it if that fails."""
    _failures.pop(path, None)
    try:
        return import_module(path)
    except (Exception, SystemExit) as error:  # not a job's timeout, which says nothing about it
        until = time.monotonic() + FAILURE_SECONDS
        if len(_failures) >= MAX_FAILURES:
            _failures.clear()
        if isinstance(error, ModuleNotFoundError) and _is_missing(path, error):
            _failures[path] = _Failure(until, None, None)
            return ModuleType(path)
        _failures[path] = _Failure(until, error, error.__traceback__)
        raise


def _is_missing(path: str, error: ModuleNotFoundError) -> bool:
    """Return whether the module itself does not exist, and not one that it imports."""
    return bool(error.name) and f"{path}.".startswith(f"{error.name}.")
