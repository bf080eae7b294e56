"""Every setting: name, type, default, and a sentence. They stand in TASKS[alias]["OPTIONS"]."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from offload.durations import MAX_SECONDS


def _setting(default: Any, sentence: str) -> Any:
    return field(default=default, metadata={"sentence": sentence})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """The options of one backend, checked."""

    database: str = _setting("default", "Alias in DATABASES in which the jobs are stored.")
    max_attempts: int = _setting(1, "How often a job is tried if its task does not say.")
    timeout: float | None = _setting(None, "Seconds a job may run if its task does not say.")
    max_worker_losses: int = _setting(
        3, "How often a job is run again after the process running it died."
    )
    tenant_getter: str = _setting(
        "", "Dotted path to a callable that takes a request and returns its tenant's name."
    )
    max_arguments_size: int = _setting(2 * 1024**2, "Bytes of JSON that arguments may have.")
    max_result_size: int = _setting(2 * 1024**2, "Bytes of JSON that a return value may have.")
    keep_successful: timedelta | None = _setting(
        timedelta(days=7), "How long successful jobs are kept; None keeps them for ever."
    )
    keep_failed: timedelta | None = _setting(
        timedelta(days=30), "How long failed, cancelled and expired jobs are kept; None: for ever."
    )
    max_streams_per_user: int = _setting(6, "Streams that one person may hold in one web process.")
    max_streams: int = _setting(2000, "Streams that all may hold together in one web process.")
    processes: int = _setting(
        min(os.cpu_count() or 1, 4), "Child processes of offload_worker; 0 runs tasks in its own."
    )
    threads: int = _setting(4, "Threads per process for tasks written with def.")
    async_slots: int = _setting(100, "Tasks written with async def that one process runs at once.")
    lease: float = _setting(30.0, "Seconds without a sign of life after which an engine is dead.")
    poll_interval: float = _setting(1.0, "Seconds between looks at the queue when no hint comes.")
    kill_grace_period: float = _setting(
        5.0, "Seconds a task has to end after its time limit or a cancel."
    )
    shutdown_timeout: float = _setting(30.0, "Seconds that running jobs have when a worker stops.")

    def __post_init__(self) -> None:
        if not isinstance(self.database, str):
            raise ImproperlyConfigured(
                f"OPTIONS['database'] must be an alias in DATABASES, not {self.database!r}."
            )
        if not isinstance(self.tenant_getter, str):
            raise ImproperlyConfigured(
                "OPTIONS['tenant_getter'] must be the dotted path of a callable, "
                f"not {self.tenant_getter!r}."
            )
        for name, minimum in _MINIMA.items():
            value = getattr(self, name)
            if not (_is_number(value, minimum) or (value is None and name in _OPTIONAL)):
                raise ImproperlyConfigured(
                    f"OPTIONS[{name!r}] must be {_kind(minimum)} of at least {minimum}, "
                    f"not {value!r}."
                )
        for name in ("keep_successful", "keep_failed"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, timedelta) and value >= timedelta()):
                raise ImproperlyConfigured(
                    f"OPTIONS[{name!r}] must be a timedelta or None, not {value!r}."
                )

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two signs of life."""
        return self.lease / 6

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> BackendOptions:
        """Return checked options.

        Raises:
            ImproperlyConfigured: for an unknown name, with the nearest known one, or a bad value.
        """
        known = [f.name for f in fields(cls)]
        for name in options:
            if name not in known:
                raise ImproperlyConfigured(f"Unknown option {name!r}.{did_you_mean(name, known)}")
        return cls(**options)


MAX_INTEGER = 2**31 - 1
"""The largest whole number that a column holds."""

_OPTIONAL = {"timeout"}
_MINIMA: dict[str, float] = {
    "max_attempts": 1,
    "timeout": 0.001,
    "max_worker_losses": 0,
    "max_arguments_size": 1024,
    "max_result_size": 1024,
    "max_streams_per_user": 1,
    "max_streams": 1,
    "processes": 0,
    "threads": 1,
    "async_slots": 1,
    "lease": 1.0,
    "poll_interval": 0.01,
    "kill_grace_period": 0.0,
    "shutdown_timeout": 0.0,
}


def did_you_mean(name: object, known: list[str]) -> str:
    """Return " Did you mean ...?" with the nearest known name, or all known names."""
    near = get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Known are: {', '.join(sorted(known))}."


def _is_number(value: Any, minimum: float) -> bool:
    """Tell whether a value is a number of the minimum's kind that a column can hold."""
    whole = isinstance(minimum, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return minimum <= value <= (MAX_INTEGER if whole else MAX_SECONDS)


def _kind(minimum: float) -> str:
    return "a whole number" if isinstance(minimum, int) else "a number"
