"""The entries of `beat_schedule`, which workers enqueue as schedules of the code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from offload.backends.base import offload_backends
from offload.celery.schedules.crontabs import timing_of
from offload.celery.schedules.periodic import periodic_tasks
from offload.celery.tasks.registry import tasks
from offload.exceptions import InvalidSchedule
from offload.from_celery.report import Item
from offload.from_celery.words import MICROSECOND, interval_words
from offload.schedules.sync import sync
from offload.store.schedule_records import ScheduleDefinition


def schedule_items(of_celery: Mapping[str, Any]) -> list[Item]:
    """Return what becomes of each periodic task of the code and the settings.

    Args:
        of_celery: the entries of `beat_schedule` of an app of Celery, by name.
    """
    found = {definition.name: (definition, place) for definition, place in periodic_tasks()}
    waiting = {
        name: entry
        for name, entry in of_celery.items()
        if name not in found or found[name][0].error
    }
    return [
        *(_item(*one) for name, one in found.items() if name not in waiting),
        *(_waiting(name, entry) for name, entry in waiting.items()),
    ]


def write_schedules(*, is_complete: bool) -> list[Item]:
    """Write the schedules of the code, as workers do when they start; return what was refused.

    Args:
        is_complete: whether all modules with tasks were imported.
    """
    refused: list[Item] = []
    if all(name.startswith("celery.") for name in tasks):  # beat still has all entries
        return refused
    for backend in offload_backends():
        try:
            sync(backend.alias, is_complete=is_complete)
        except InvalidSchedule as error:
            item = Item(f"schedules of TASKS[{backend.alias!r}]", by_hand=str(error), is_left=True)
            refused.append(item)
    return refused


def _item(definition: ScheduleDefinition, place: str) -> Item:
    if definition.error:
        return Item(definition.name, f"{place}, which cannot tick", "", definition.error, True)  # noqa: FBT003
    when = definition.cron or interval_words((definition.every or 0) * MICROSECOND)
    return Item(definition.name, f"a schedule of the code: {when} ({definition.timezone})")


def _waiting(name: str, entry: Mapping[str, Any]) -> Item:
    """Return what becomes of an entry whose task is still Celery's."""
    try:
        cron, every = timing_of(entry.get("schedule"))
    except ValueError as error:
        return Item(name, by_hand=str(error))
    when = cron or interval_words(every or timedelta())
    return Item(
        name,
        f"a schedule of the code: {when}",
        by_hand=f"It moves with its task {entry.get('task')!r}: change the import of that.",
    )
