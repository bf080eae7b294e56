"""Checks of the limits of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress

from django.core.checks import Error, Warning  # noqa: A004
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTaskBackend
from django.utils.module_loading import autodiscover_modules, import_string

from offload.backends.base import OffloadBackend
from offload.checks.foreign_backends import foreign_backend
from offload.checks.messages import Messages
from offload.limits.numbers import describe
from offload.store.limit_records import LimitNumbers
from offload.task_limits import TaskLimit


def load_tasks() -> None:
    """Import the apps' `tasks` modules; a worker reports those that cannot be imported."""
    with suppress(Exception):
        autodiscover_modules("tasks")


def check_limits(limits: Iterable[TaskLimit]) -> Messages:
    """Check limits against each other, and against the settings."""
    sharing: defaultdict[tuple[str, str], list[TaskLimit]] = defaultdict(list)
    for limit in limits:
        sharing[limit.backend, limit.name].append(limit)
        yield from _check_backend(limit)
        yield from _check_callables(limit)
        yield from _check_tenant(limit)
    for shared in sharing.values():
        yield from _check_shared(shared)


def _check_backend(limit: TaskLimit) -> Messages:
    if path := foreign_backend(limit.backend):
        yield Warning(
            f"The task {limit.path} has a limit, which its backend {limit.backend!r} ({path}) does "
            "not know: all of its jobs may run at once.",
            hint="Give the task a backend of django-offload, or remove the limit.",
            id="offload.W042",
        )


def _check_callables(limit: TaskLimit) -> Messages:
    policies = (
        ("number", "the first argument of its Concurrency", limit.number_path),
        ("weight", "the weight of its Fair", limit.weight_path),
    )
    for what, option, path in policies:
        is_by_path = what == "number" or (limit.options.fair and limit.options.fair.weight == path)
        if path and is_by_path and (problem := _problem_of(path)):
            yield Error(
                f"The limit of the task {limit.path} gets its {what} from {path!r}, which cannot "
                f"be called ({problem}). No job of it can be enqueued.",
                hint=f"Set {option} to the dotted path of a function.",
                id="offload.E043",
            )


def _check_tenant(limit: TaskLimit) -> Messages:
    with suppress(InvalidTaskBackend):
        backend = task_backends[limit.backend]
        if not isinstance(backend, OffloadBackend) or not backend.supports_live:
            return
        if limit.uses_tenant and not backend.settings.tenant_getter:
            yield Warning(
                f"The key of the task {limit.path} names {{tenant}}, but the backend "
                f"{limit.backend!r} has no tenant_getter: the jobs of all requests share one key.",
                hint=f"Set OPTIONS['tenant_getter'] in TASKS[{limit.backend!r}], or give the task "
                "a key of its arguments.",
                id="offload.W044",
            )


def _problem_of(path: str) -> str:
    """Return why a path leads to nothing that can be called; empty if it does."""
    try:
        return "" if callable(import_string(path)) else "it is not callable"
    except Exception as error:  # noqa: BLE001  # the project's modules raise anything
        return f"{type(error).__name__}: {error}"


def _check_shared(limits: Sequence[TaskLimit]) -> Messages:
    """Check that tasks that share a limit agree about it."""
    first = limits[0]
    for other in limits[1:]:
        if _definition(other) != _definition(first):
            yield Error(
                f"The tasks {first.path} and {other.path} share the limit {first.name!r}, but "
                f"differ: {_describe(first)}, and {_describe(other)}.",
                hint="Give both tasks the same Concurrency and the same Rate, or other names.",
                id="offload.E041",
            )


def _definition(limit: TaskLimit) -> tuple[LimitNumbers, bool]:
    return LimitNumbers(**limit.numbers), limit.has_key


def _describe(limit: TaskLimit) -> str:
    numbers = describe(LimitNumbers(**limit.numbers))
    words = [f"{name.replace('_', ' ')} {value}" for name, value in numbers.items()]
    return f"{', '.join(words) or 'no number'} ({'with a' if limit.has_key else 'without'} key)"
