"""The Celery app of a project that has one: its settings, its tasks, and its periodic tasks.

Celery may be uninstalled already; no other module of this package imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

OWN_APPS = {"offload"}
"""Apps of this package, which run jobs."""


@dataclass(slots=True)
class CeleryApp:
    """What a project's app of Celery has.

    Attributes:
        name: its name; empty without an app.
        settings: those that are not Celery's defaults, by their names in lower case.
        tasks: those that are still Celery's, by name.
        beat_schedule: its entries.
        unread: what could not be read, and why.
    """

    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Any] = field(default_factory=dict)
    beat_schedule: Mapping[str, Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def read_app(path: str = "") -> CeleryApp:
    """Return what the app of a project has; nothing if Celery is not installed or not used.

    Args:
        path: of its module, such as "proj.celery"; the current app if empty.

    Raises:
        LookupError: if there is no app at this path.
    """
    if path:
        return _read(_app_at(path))
    if "celery" not in sys.modules:  # nothing in this project imports it
        unread = ["Tasks that are still Celery's, as Celery is not installed."]
        return CeleryApp(unread=[] if find_spec("celery") else unread)
    app = import_module("celery").current_app
    return CeleryApp() if app.main in OWN_APPS else _read(app)


def _app_at(path: str) -> Any:
    module_path, _, name = path.partition(":")
    try:
        celery = import_module("celery")
        found: Any = import_module(module_path)
    except ImportError as error:
        raise LookupError(
            f"--app {path!r} cannot be imported: {error}. Name the module of the app as for "
            "`celery -A`, such as proj.old_celery. Without --app, the settings CELERY_... are read."
        ) from error
    for attribute in (name,) if name else ("app", "celery"):
        app = getattr(found, attribute, None)
        if isinstance(app, celery.Celery):
            return app
    raise LookupError(
        f"--app {path!r} names no app of Celery. Name its module and attribute, such as "
        "proj.old_celery:app. An app of offload.celery is read without --app."
    )


def _read(app: Any) -> CeleryApp:
    defaults = import_module("celery.app.defaults").DEFAULTS
    settings = {name: app.conf.get(name) for name in sorted(defaults)}
    changed = {name: value for name, value in settings.items() if value != defaults[name]}
    found = CeleryApp(app.main or "", changed, beat_schedule=app.conf.beat_schedule or {})
    try:
        app.finalize()
        app.loader.import_default_modules()
    except Exception as error:  # noqa: BLE001  # modules of tasks raise anything
        found.unread.append(f"Some tasks of Celery's: {type(error).__name__}: {error}")
    found.tasks = {
        name: task
        for name, task in sorted(app.tasks.items())
        if not name.startswith(("celery.", "offload."))
    }
    return found
