"""Tasks that add parts to their workflow, without the builder of `offload.workflow`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.tasks import Task, task_backends

from offload import task
from offload.backends.database import DatabaseBackend
from offload.backends.rows import JobBatch
from offload.context import running_job
from offload.store import get_store
from offload.store.workflow_records import NewDependency, NewPart, NewParts
from offload.uuid7 import new_id
from tests.crash import tasks as crash_tasks
from tests.tasks import plain


class NamedParts:
    """Parts of a running one, which hand their results over to it.

    Args:
        adder: id of the part that adds them, as the store has it.
        graph: the parts, as `tests.workflow_rows.Graph`.
        task: their task, with their names as the only argument.
    """

    def __init__(self, adder: str, graph: Mapping[str, Any], task: Task[..., Any] = plain) -> None:
        self._adder = adder
        self._graph = graph
        self._task = task

    @cached_property
    def ids(self) -> dict[str, str]:
        """The ids of the parts by name."""
        return {name: get_store("default").key(new_id()) for name in self._graph}

    @cached_property
    def new(self) -> NewParts:
        backend = task_backends["default"]
        assert isinstance(backend, DatabaseBackend)
        key = get_store("default").key
        batch = JobBatch(self._task, "default", backend.settings, key)
        parts = [
            NewPart(batch.row(self.ids[name], json.dumps([[name], {}])), run_when)
            for name, (_, run_when) in self._graph.items()
        ]
        edges = [
            NewDependency(self.ids[name], self.ids[parent])
            for name, (parents, _) in self._graph.items()
            for parent in parents
        ]
        handed_over = [
            NewDependency(self._adder, part, -1, position)
            for position, part in enumerate(self.ids.values())
        ]
        return NewParts(parts, edges + handed_over, {})

    def complete(self, value: Any) -> tuple[NewParts, Any]:
        return self.new, value


RESULTS = {"offload:results": -1}


def _add(names: list[str], task: Task[..., Any] = plain) -> dict[str, int]:
    running: Any = running_job()
    running.additions = NamedParts(running.job.id, dict.fromkeys(names, ((), 1)), task)
    return RESULTS


@task
def split(names: list[str]) -> dict[str, int]:
    return _add(names)


@task
async def asplit(names: list[str]) -> dict[str, int]:
    return _add(names)


@task(atomic=True)
def split_atomically(names: list[str]) -> dict[str, int]:
    return _add(names)


@task
def split_and_fail(names: list[str]) -> None:
    _add(names)
    raise ValueError(names)


@task(takes_context=True)
def split_into_notes(context: Any, token: str, count: int) -> dict[str, int]:
    crash_tasks.log_start(context, token)
    return _add([f"{token}-{number}" for number in range(count)], crash_tasks.note)
