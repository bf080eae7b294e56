"""The project that child processes load: described by the worker, loaded by the fork server.

Children start from the settings, not from `manage.py`: running a main script a second time would
repeat whatever it does. So the worker hands over what its own main script may have changed: the
import path, the command line and the settings.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import Any, NamedTuple
from zipimport import zipimporter

import django
from django.conf import global_settings, settings
from django.core.cache import caches
from django.core.checks import ERROR, run_checks
from django.db import connections
from django.utils.module_loading import autodiscover_modules

logger = logging.getLogger("offload.worker")

PLAIN_LOADERS = (SourceFileLoader, SourcelessFileLoader, zipimporter)
"""Loaders with which another process gets the same settings from the same module."""


TASKS_NOT_IMPORTED = "A tasks module could not be imported."
"""Why a project with all its tasks could not be loaded; the traceback has been logged."""
TASKS_IN_ERROR = "System checks of the tasks found errors, so no worker starts:"
"""How the reason begins why a project with unusable options of its tasks is not run."""
CHECKS_OF_TASKS = "offload_tasks"
"""The tag of the system checks of the tasks that a process has loaded."""
_has_imported_tasks = False


class Project(NamedTuple):
    """What another process needs to load this project.

    Attributes:
        settings_module: the name of the settings module; None if `settings` replaces it.
        settings: the settings that differ from Django's defaults, pickled by name.
        needs_all_tasks: whether a `tasks` module that cannot be imported is an error.
    """

    settings_module: str | None
    settings: dict[str, bytes]
    needs_all_tasks: bool = False


class ProjectError(Exception):
    """Child processes cannot load this project."""


def describe_project() -> Project:
    """Return the project of this process.

    Raises:
        ProjectError: if a setting cannot be passed to another process.
    """
    module = settings.SETTINGS_MODULE
    if module and _is_plain(module):
        return Project(module, {})
    # `settings.configure()`, or an import hook that computes the settings.
    return Project(None, {name: _pickled(name, value) for name, value in _changed_settings()})


def load_project(project: Project) -> str:
    """Set up Django and import the tasks; leave nothing open that forked processes would share.

    Returns:
        Why no job may run; empty if jobs may.
    """
    if project.settings_module is None:
        values = {name: pickle.loads(value) for name, value in project.settings.items()}  # noqa: S301
        settings.configure(**values)
    django.setup()
    problem = load_tasks(needs_all=project.needs_all_tasks)
    close_connections()
    return problem


def load_tasks(*, needs_all: bool) -> str:
    """Import the tasks and check their options; log the warnings.

    Args:
        needs_all: whether no job may run if a `tasks` module cannot be imported.

    Returns:
        Why no job may run; empty if jobs may.
    """
    if not import_tasks() and needs_all:
        return TASKS_NOT_IMPORTED
    messages = [found for found in run_checks(tags=[CHECKS_OF_TASKS]) if not found.is_silenced()]
    for found in messages:
        if found.level < ERROR:
            logger.warning("%s", found)
    errors = [str(found) for found in messages if found.level >= ERROR]
    return "\n\n".join([TASKS_IN_ERROR, *errors]) if errors else ""


def import_tasks() -> bool:
    """Import the apps' `tasks` modules; log the error if one cannot be imported."""
    global _has_imported_tasks  # noqa: PLW0603  # of the process
    try:
        autodiscover_modules("tasks")
    except Exception:
        # Jobs of that module will wait; the tasks of other modules can run.
        logger.exception("%s Its jobs wait.", TASKS_NOT_IMPORTED)
        return False
    _has_imported_tasks = True
    return True


def has_imported_tasks() -> bool:
    """Return whether this process has imported all `tasks` modules."""
    return _has_imported_tasks


def close_connections() -> None:
    """Close this thread's connections of Django, their pools, and its caches."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:  # `close` only returns the connection to the pool
            close_pool()
    caches.close_all()


def _is_plain(module: str) -> bool:
    """Return whether Python's own import finds a module, and no hook such as a settings package's.

    The module itself may not show how it was loaded.
    """
    package = module.rpartition(".")[0]
    path = import_module(package).__path__ if package else None
    for finder in sys.meta_path:
        spec = finder.find_spec(module, path)
        if spec is not None:
            return type(spec.loader) in PLAIN_LOADERS
    return False


def _changed_settings() -> Iterator[tuple[str, Any]]:
    """Yield the settings that are not Django's defaults."""
    wrapped = vars(settings)["_wrapped"]  # which, unlike `settings`, does not validate values
    for name in dir(wrapped):
        if name.isupper() and name != "SETTINGS_MODULE":
            value = getattr(wrapped, name)
            if value is not getattr(global_settings, name, wrapped):
                yield name, value


def _pickled(name: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ProjectError(
            f"The setting {name} cannot be passed to child processes ({error}), which do not run "
            f"{Path(sys.argv[0]).name}. Put the settings into a module, and name it in "
            "DJANGO_SETTINGS_MODULE, or use --processes 0."
        ) from error
