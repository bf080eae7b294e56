"""The options in TASKS[alias]["OPTIONS"]: name, type, default and description of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from offload.durations import MAX_SECONDS
from offload.policies.queue_limits import QueueLimits, columns_of, parse_queue_limits


def _option(default: Any, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendOptions:
    """The validated options of one backend."""

    database: str = _option("default", "Alias in DATABASES of the database that stores the jobs.")
    max_attempts: int = _option(1, "Attempts at a job whose task does not set max_attempts.")
    timeout: float | None = _option(
        None, "Seconds one attempt may run if the task does not set timeout."
    )
    max_worker_losses: int = _option(
        3, "How often a job is run again after the process that ran it died."
    )
    tenant_getter: str = _option(
        "", "Dotted path to a callable that takes a request and returns its tenant's name."
    )
    user_getter: str = _option(
        "",
        "Dotted path to a callable that takes a request with the header Authorization and returns "
        "its user or None.",
    )
    address_getter: str = _option(
        "",
        "Dotted path to a callable that takes a request and returns its client's address; without "
        "it, the address is REMOTE_ADDR.",
    )
    max_arguments_size: int = _option(2 * 1024**2, "Maximum bytes of JSON of a job's arguments.")
    max_result_size: int = _option(2 * 1024**2, "Maximum bytes of JSON of a return value.")
    keep_successful: timedelta | None = _option(
        timedelta(days=7), "How long successful jobs are kept; None keeps them indefinitely."
    )
    keep_failed: timedelta | None = _option(
        timedelta(days=30),
        "How long failed, cancelled and expired jobs are kept; None keeps them indefinitely.",
    )
    allowed_commands: Sequence[str] = _option(
        (), "Names of the management commands that run_command may run; ['*'] for all."
    )
    backup_directories: Sequence[str | os.PathLike[str]] = _option(
        (), "Absolute paths of the directories into which, and below which, back_up may write."
    )
    max_streams_per_user: int = _option(6, "Maximum streams of one user in one web process.")
    max_streams: int = _option(2000, "Maximum streams of all users in one web process.")
    processes: int = _option(
        min(os.cpu_count() or 1, 4),
        "Child processes of offload_worker; 0 runs tasks in the worker's own process.",
    )
    threads: int = _option(4, "Threads per process for tasks written with def.")
    async_slots: int = _option(100, "Tasks written with async def that one process runs at once.")
    async_threads: int = _option(
        10, "Threads per process for the sync code of async tasks, such as queries."
    )
    schedules: Mapping[str, Mapping[str, Any]] | None = _option(
        None, "Schedules by name: the path of the task, cron or every, and their options."
    )
    max_jobs_per_child: int | None = _option(
        None, "Jobs after which a child process is replaced; None for no limit."
    )
    max_memory_per_child: int | None = _option(
        None, "MiB of memory above which a child process is replaced; None for no limit."
    )
    max_load: float | None = _option(
        None, "Load average of the machine above which a worker claims no jobs; None for no limit."
    )
    lease: float = _option(30.0, "Seconds without a heartbeat after which a worker is dead.")
    poll_interval: float = _option(1.0, "Seconds between polls of the queue when no hint arrives.")
    kill_grace_period: float = _option(
        5.0,
        "Seconds a task has to stop after a timeout or a cancellation, and exit handlers to finish,"
        " before the process is killed.",
    )
    shutdown_timeout: float = _option(
        30.0, "Seconds that running jobs have to finish when a worker stops."
    )
    celery_app: str = _option(
        "",
        "Dotted path of the Celery application whose workers run the jobs, for CeleryBackend; "
        "empty for that of django-offload.",
    )
    celery_queue_prefix: str = _option(
        "", "Prefix of the names of queues at Celery's broker, for CeleryBackend."
    )
    resend_after: float = _option(
        15.0,
        "Seconds after which another message is sent about a job that no Celery worker has started,"
        " for CeleryBackend.",
    )
    queue_limits: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict,
        metadata={"description": "How many jobs run, start and wait in each queue, by its name."},
    )

    def __post_init__(self) -> None:
        if not isinstance(self.database, str):
            raise ImproperlyConfigured(
                f"OPTIONS['database'] must be an alias in DATABASES, not {self.database!r}."
            )
        if not isinstance(self.celery_queue_prefix, str):
            raise ImproperlyConfigured(
                f"OPTIONS['celery_queue_prefix'] must be text, not {self.celery_queue_prefix!r}."
            )
        for name in (*GETTERS, "celery_app"):
            path = getattr(self, name)
            if not isinstance(path, str):
                raise ImproperlyConfigured(
                    f"OPTIONS[{name!r}] must be a dotted path, not {path!r}."
                )
        for name, minimum in _MINIMA.items():
            _validate_number(name, getattr(self, name), minimum)
        _validate_schedules(self.schedules)
        for name in ("keep_successful", "keep_failed"):
            _validate_period(name, getattr(self, name))
        _validate_names("allowed_commands", self.allowed_commands)
        _validate_directories("backup_directories", self.backup_directories)
        try:
            parse_queue_limits(self.queue_limits)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"OPTIONS['queue_limits']: {error}") from None

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two heartbeats of a worker."""
        return self.lease / 6

    @property
    def limits_of_queues(self) -> dict[str, QueueLimits]:
        """The limits that the settings give to queues, by name."""
        return parse_queue_limits(self.queue_limits)

    def limits_of_queue(self, name: str) -> QueueLimits:
        """Return the limits that the settings give a queue."""
        return QueueLimits(**columns_of(self.queue_limits.get(name, {})))

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> BackendOptions:
        """Return validated options.

        Raises:
            ImproperlyConfigured: for an unknown name, with the nearest known one, or a bad value.
        """
        if not isinstance(options, Mapping):
            raise ImproperlyConfigured(f"OPTIONS must be a dict, not {options!r}.")
        known = [option.name for option in fields(cls)]
        for name in options:
            if name not in known:
                raise ImproperlyConfigured(f"Unknown option {name!r}.{did_you_mean(name, known)}")
        return cls(**options)


MAX_INTEGER = 2**31 - 1
"""The largest integer that a column holds."""

GETTERS = ("tenant_getter", "user_getter", "address_getter")
"""Options that are dotted paths of callables, which take a request."""

_OPTIONAL = {"max_jobs_per_child", "max_load", "max_memory_per_child", "timeout"}
"""Numbers that may be None."""
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
    "async_threads": 1,
    "max_jobs_per_child": 1,
    "max_memory_per_child": 1,
    "max_load": 0.01,
    "lease": 1.0,
    "poll_interval": 0.01,
    "resend_after": 0.01,
    "kill_grace_period": 0.0,
    "shutdown_timeout": 0.0,
}
"""The smallest value of each number; an integer if the option must be one."""


def did_you_mean(name: object, known: list[str]) -> str:
    """Return " Did you mean ...?" with the nearest known name, or all known names."""
    near = get_close_matches(str(name), known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" Choices are: {', '.join(sorted(known))}."


def _validate_number(name: str, value: Any, minimum: float) -> None:
    if value is None and name in _OPTIONAL:
        return
    if isinstance(minimum, int):
        kind, maximum = "a whole number", float(MAX_INTEGER)
        is_number = isinstance(value, int)
    else:
        kind, maximum = "a number", MAX_SECONDS
        is_number = isinstance(value, int | float)
    is_number = is_number and not isinstance(value, bool)
    if not (is_number and minimum <= value <= maximum):
        raise ImproperlyConfigured(
            f"OPTIONS[{name!r}] must be {kind} of at least {minimum}, not {value!r}."
        )


def _validate_period(name: str, value: Any) -> None:
    if value is None or (isinstance(value, timedelta) and value >= timedelta()):
        return
    raise ImproperlyConfigured(f"OPTIONS[{name!r}] must be a timedelta or None, not {value!r}.")


def _validate_names(name: str, value: Any) -> None:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return
    raise ImproperlyConfigured(f"OPTIONS[{name!r}] must be a list of names, not {value!r}.")


def _validate_directories(name: str, value: Any) -> None:
    is_list = isinstance(value, list | tuple)
    if is_list and all(isinstance(one, str | Path) and Path(one).is_absolute() for one in value):
        return
    raise ImproperlyConfigured(
        f"OPTIONS[{name!r}] must be a list of absolute paths, not {value!r}."
    )


def _validate_schedules(value: Any) -> None:
    """Refuse what is no dict of dicts; a check has more to say about each of them."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise ImproperlyConfigured(
            "OPTIONS['schedules'] must be a dict of dicts, such as {'nightly': {'task': "
            f"'shop.tasks.nightly', 'cron': '0 3 * * *'}}}}, not {value!r}."
        )
    for name, options in value.items():
        if not isinstance(options, Mapping):
            raise ImproperlyConfigured(
                f"OPTIONS['schedules'][{name!r}] must be a dict, such as {{'task': "
                f"'shop.tasks.nightly', 'cron': '0 3 * * *'}}, not {options!r}."
            )
