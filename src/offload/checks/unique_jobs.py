"""Checks of the tasks whose jobs are unique."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.core.checks import Warning  # noqa: A004

from offload.checks.foreign_backends import foreign_backend
from offload.checks.messages import Messages
from offload.task_unique import TaskUnique


def check_unique_jobs(tasks: Iterable[TaskUnique]) -> Messages:
    """Check what is unique about the jobs of tasks against each other, and the settings."""
    sharing: defaultdict[str, list[TaskUnique]] = defaultdict(list)
    for task in tasks:
        sharing[task.name].append(task)
        yield from _check_backend(task)
    for shared in sharing.values():
        yield from _check_shared(shared)


def _check_backend(task: TaskUnique) -> Messages:
    if path := foreign_backend(task.backend):
        yield Warning(
            f"The task {task.path} has the option unique, which its backend {task.backend!r} "
            f"({path}) does not know: each call makes a job.",
            hint="Give the task a backend of django-offload, or remove the option.",
            id="offload.W071",
        )


def _check_shared(tasks: Sequence[TaskUnique]) -> Messages:
    """Check that tasks that share keys agree about how long a job holds one."""
    first = tasks[0]
    for other in tasks[1:]:
        if (other.until, other.within) != (first.until, first.within):
            yield Warning(
                f"The tasks {first.path} and {other.path} share the keys of {first.name!r}, but "
                "differ in until or within: how long a key is held depends on which of them was "
                "enqueued first.",
                hint="Give both tasks the same until and within, or other names.",
                id="offload.W072",
            )
