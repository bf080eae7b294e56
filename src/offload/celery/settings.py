"""The settings of an app: Celery's names, read when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from django.core.signals import setting_changed

DEFAULTS: dict[str, Any] = {
    "beat_schedule": {},
    "enable_utc": True,
    "imports": (),
    "include": (),
    "result_strict": True,
    "task_acks_late": None,
    "task_always_eager": False,
    "task_annotations": None,
    "task_default_priority": None,
    "task_default_queue": "celery",
    "task_default_rate_limit": None,
    "task_eager_propagates": False,
    "task_ignore_result": False,
    "task_reject_on_worker_lost": None,
    "task_routes": None,
    "task_soft_time_limit": None,
    "task_store_eager_result": False,
    "task_time_limit": None,
    "task_track_started": True,
    "timezone": None,
}
"""Celery's defaults, except that of `task_track_started`; Celery has no `result_strict`."""

DJANGO = "django.conf:settings"
_OLD_NAMES = {
    "task_always_eager": "CELERY_ALWAYS_EAGER",
    "task_eager_propagates": "CELERY_EAGER_PROPAGATES_EXCEPTIONS",
    "beat_schedule": "CELERYBEAT_SCHEDULE",
    "imports": "CELERY_IMPORTS",
    "include": "CELERY_INCLUDE",
    "task_ignore_result": "CELERY_IGNORE_RESULT",
    "task_routes": "CELERY_ROUTES",
    "task_default_queue": "CELERY_DEFAULT_QUEUE",
    "task_acks_late": "CELERY_ACKS_LATE",
    "task_time_limit": "CELERYD_TASK_TIME_LIMIT",
    "task_soft_time_limit": "CELERYD_TASK_SOFT_TIME_LIMIT",
    "task_track_started": "CELERY_TRACK_STARTED",
}
"""Names of settings before Celery 4, which projects without a namespace may still use."""


class Settings:
    """The settings of an app, as attributes and as items: `app.conf.task_always_eager`.

    What was assigned comes first, then what `config_from_object` names, then the defaults.

    Args:
        values: settings that are assigned at once.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.__dict__.update(_own={}, _source=None, _namespace="", _found={})
        self.update(values or {})
        setting_changed.connect(self._forget)

    def read_from(self, source: Any, namespace: str = "") -> None:
        """Read further settings from an object, now and later.

        Args:
            source: an object with attributes, a mapping, or the path of one, such as
                "django.conf:settings"; a path is followed when a setting is first needed.
            namespace: what precedes their names, in capitals: "CELERY".
        """
        self.__dict__.update(_source=source, _namespace=namespace)
        self._found.clear()

    def update(self, values: Any = (), **others: Any) -> None:
        """Assign several settings."""
        for name, value in {**dict(values), **others}.items():
            self[name] = value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` if neither the project nor Celery has it."""
        try:
            return self[name]
        except KeyError:
            return default

    def is_set(self, name: str) -> bool:
        """Return whether the project sets it; a default does not count."""
        return self._find(name) is not _MISSING

    def __getitem__(self, name: str) -> Any:
        name = name.lower()
        value = self._find(name)
        return DEFAULTS[name] if value is _MISSING else value

    def __setitem__(self, name: str, value: Any) -> None:
        self._own[name.lower()] = value
        self._found.clear()

    def __contains__(self, name: str) -> bool:
        return name.lower() in DEFAULTS or self.is_set(name.lower())

    def __iter__(self) -> Iterator[str]:
        return iter({**DEFAULTS, **self._own})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no setting {name!r}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def _forget(self, **_: Any) -> None:
        """Forget the settings that were read, as a test has changed some."""
        self._found.clear()

    def _find(self, name: str) -> Any:
        if name in self._found:
            return self._found[name]
        value = self._own[name] if name in self._own else self._look_up(name)
        if name not in _READ_EACH_TIME:
            self._found[name] = value
        return value

    def _look_up(self, name: str) -> Any:
        source = self._source
        if source is None:
            return _MISSING
        if isinstance(source, str):
            source = _follow(source)
        if self._namespace:
            return _read(source, f"{self._namespace.rstrip('_')}_{name.upper()}")
        for spelling in (name, name.upper(), _OLD_NAMES.get(name, "")):
            value = _read(source, spelling)
            if value is not _MISSING:
                return value
        return _MISSING


_MISSING: Any = object()
_READ_EACH_TIME = {"task_always_eager", "task_eager_propagates"}
"""Settings that tests change while they run, also by assignment; others are read once."""


def _follow(path: str) -> Any:
    module, _, name = path.partition(":")
    found = import_module(module)
    return getattr(found, name) if name else found


def _read(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return source.get(name, _MISSING)
    return getattr(source, name, _MISSING)
