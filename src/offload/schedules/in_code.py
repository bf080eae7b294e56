"""The schedules of the code and of the settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task

from offload.backends.base import offload_backends
from offload.declared_schedules import added_schedules
from offload.exceptions import InvalidSchedule, TaskNotFound
from offload.schedules.decorator import declared_by_decorators
from offload.schedules.definitions import (
    Schedulable,
    backend_options,
    broken,
    define,
    template_of,
)
from offload.store.schedule_records import CODE, SETTINGS, ScheduleDefinition
from offload.task_lookup import explain_missing, find_task, find_task_or_stub, with_options
from offload.tasks import schedulable_tasks

SETTING_KEYS = ("task", "cron")
"""Keys of a schedule in the settings, besides its options."""


class Problem(NamedTuple):
    """Why a schedule of the code or the settings cannot tick.

    Attributes:
        name: of the schedule.
        place: where it is defined.
        text: the reason.
    """

    name: str
    place: str
    text: str


def declared_schedules() -> list[ScheduleDefinition]:
    """Return the schedules; those that cannot tick say why in `error`."""
    return list(_by_name().values())


def problems() -> Iterator[Problem]:
    """Yield why schedules cannot tick."""
    names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for definition, place in _all():
        if definition.error:
            yield Problem(definition.name, place, definition.error)
        options = backend_options(definition.backend)
        database = "" if options is None else options.database
        names[database, definition.name].append(place)
    for (_, name), places in names.items():
        if len(places) > 1:
            text = f"Several schedules have this name: {', '.join(places)}. Only the first ticks."
            yield Problem(name, places[1], text)


def job_templates() -> dict[str, dict[str, str]]:
    """Return the templates of tasks that may be scheduled at run time: by backend and path."""
    templates: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path, task in list(schedulable_tasks.items()):
        options = backend_options(task.backend)
        if options is not None:
            templates[task.backend][path] = template_of(task, options).to_json()
    return dict(templates)


def _by_name() -> dict[str, ScheduleDefinition]:
    """Return the schedules by name; of several with one name the first."""
    found: dict[str, ScheduleDefinition] = {}
    for definition, _ in _all():
        found.setdefault(definition.name, definition)
    return found


def _all() -> Iterator[tuple[ScheduleDefinition, str]]:
    """Yield the schedules, and where each is defined."""
    for declared in declared_by_decorators():
        target = Schedulable(declared.task, declared.name, CODE)
        place = f"@schedule of {declared.task.module_path}"
        yield _defined(target, declared.cron, declared.options), place
    yield from added_schedules()
    for backend in offload_backends():
        with suppress(ImproperlyConfigured):  # reported by the check of the backend
            for name, options in (backend.settings.schedules or {}).items():
                place = f"TASKS[{backend.alias!r}]['OPTIONS']['schedules'][{name!r}]"
                yield _of_setting(backend.alias, name, options), place


def _of_setting(backend: str, name: Any, setting: Mapping[str, Any]) -> ScheduleDefinition:
    options: Any = {key: value for key, value in setting.items() if key not in SETTING_KEYS}
    path, cron = setting.get("task"), setting.get("cron")
    try:
        task = _find(path)
    except InvalidSchedule as error:
        stub = find_task_or_stub(str(path), backend=backend, queue_name="default", priority=0)
        return broken(Schedulable(stub, name, SETTINGS), cron, options, str(error))
    return _defined(Schedulable(with_options(task, backend=backend), name, SETTINGS), cron, options)


def _find(path: Any) -> Task[..., Any]:
    if not isinstance(path, str):
        raise InvalidSchedule(
            f"'task' must be the path of a task, such as 'shop.tasks.nightly', not {path!r}."
        )
    try:
        return find_task(path)
    except TaskNotFound:
        raise InvalidSchedule(f"There is no task {path!r}.{explain_missing(path)}") from None
    except (Exception, SystemExit) as error:  # modules raise anything
        raise InvalidSchedule(
            f"The module of the task {path!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _defined(target: Schedulable, cron: Any, options: Any) -> ScheduleDefinition:
    try:
        return define(target, cron, options)
    except (InvalidSchedule, ImproperlyConfigured) as error:
        return broken(target, cron, options, str(error))
    except Exception as error:  # noqa: BLE001  # the project's own classes raise anything
        return broken(target, cron, options, f"{type(error).__name__}: {error}")
