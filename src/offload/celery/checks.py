"""System checks of a project's tasks and settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from django.core.checks import CheckMessage, Error, Warning
from django.tasks.exceptions import InvalidTask

from offload.celery.tasks.current import get_current_app
from offload.celery.tasks.options import route_of
from offload.celery.tasks.registry import tasks


def check_tasks() -> Iterator[CheckMessage]:
    """Check the options of the tasks, and whether their priorities mean what they meant."""
    for task in tasks.of_project():
        try:
            _ = task.definition
        except (InvalidTask, ValueError, TypeError) as error:
            yield Error(
                f"The task {task.name!r} cannot run: {error}",
                hint="Correct its options, or define it at the top level of its module.",
                id="offload.E091",
            )
    yield from _check_priorities()
    yield from _check_routes()


def _check_routes() -> Iterator[CheckMessage]:
    """Warn of routes whose tasks are in a queue that a broker finds by the routing key."""
    names = []
    for task in tasks.of_project():
        with suppress(Exception):  # a router of the project's, which an enqueue shows
            route = route_of(task, (), {}, {})
            if {"routing_key", "exchange"} & {*route} and not (route.get("queue") or task.queue):
                names.append(task.name)
    if names:
        yield Warning(
            f"The route of {', '.join(sorted(names)[:3])} in CELERY_TASK_ROUTES has a routing_key "
            "or an exchange, which mean nothing here, and no queue.",
            hint="Name the queue that the broker found by them.",
            id="offload.W093",
        )


def _check_priorities() -> Iterator[CheckMessage]:
    """Warn a project whose broker is Redis, where 0 comes first."""
    conf = get_current_app().conf
    if not str(conf.get("broker_url") or "").startswith(("redis", "sentinel")):
        return
    names = sorted(task.name for task in tasks.of_project() if task.priority is not None)
    if names or conf.task_default_priority is not None:
        yield Warning(
            f"{', '.join(names[:3]) or 'CELERY_TASK_DEFAULT_PRIORITY'} has a priority, and "
            "CELERY_BROKER_URL names Redis, with which Celery runs 0 first. Here 9 comes first.",
            hint="Turn the priorities round (9 - priority), and remove CELERY_BROKER_URL.",
            id="offload.W092",
        )
