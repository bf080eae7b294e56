"""Workflows for tests of the store: their rows, without the builder of `offload.workflow`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.tasks import Task, task_backends

from offload.backends.database import DatabaseBackend
from offload.backends.rows import JobBatch
from offload.lifecycle import JobState, Outcome, RunWhen, failed, succeeded
from offload.models import Dependency, Job, WorkflowNotice
from offload.store import get_store
from offload.store.records import ClaimedJob, FinishedJob
from offload.store.workflow_records import NewDependency, NewPart, workflow_arguments
from offload.uuid7 import new_id
from tests.jobs import FAILURE, NO_CLAIM, claim, register_worker
from tests.tasks import add

type Graph = Mapping[str, tuple[Sequence[str], RunWhen]]
"""The parts of a workflow: of each the parts that it waits for, and when it runs."""

S, E, F = RunWhen.SUCCEEDED, RunWhen.ENDED, RunWhen.FAILED


class Flow:
    """A workflow in the database, whose parts have names.

    Args:
        graph: its parts.
        task: their task.
        returns: what it returns, with names of parts in the slots of `dependencies`.
        arguments: the arguments of parts, as JSON text.
        dependencies: more dependencies: child, parent, slot, position; "" is the workflow.
        limit_keys: the keys of limits of parts.
        tasks: the tasks of parts, if they are others.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        task: Task[..., Any] = add,
        returns: Any = None,
        tolerant: bool = False,
        arguments: Mapping[str, str] = {},
        dependencies: Sequence[tuple[str, str, int, int]] = (),
        limit_keys: Mapping[str, str] = {},
        tasks: Mapping[str, Task[..., Any]] = {},
    ) -> None:
        backend = task_backends["default"]
        assert isinstance(backend, DatabaseBackend)
        self.store = get_store("default")
        self.id = new_id()
        self.ids = {"": self.id, **{name: new_id() for name in graph}}
        self.names = {self.store.key(pk): name for name, pk in self.ids.items()}

        def batch_of(task: Task[..., Any]) -> JobBatch:
            return JobBatch(task, "default", backend.settings, self.store.key)

        batch = batch_of(task)
        parts = []
        edges = [self._edge(*row) for row in dependencies]
        for name, (parents, run_when) in graph.items():
            own_batch = batch_of(tasks[name]) if name in tasks else batch
            row = own_batch.row(self.store.key(self.ids[name]), arguments.get(name, "[[1, 2], {}]"))
            key = limit_keys.get(name)
            if key is not None:
                row = row._replace(state=int(JobState.LIMITED))
            parts.append(NewPart(row, run_when, key))
            edges += [self._edge(name, parent, 0, 0) for parent in parents]
        text = workflow_arguments("flow", returns, tolerant=tolerant)
        own = batch.row(self.store.key(self.id), text)
        self.store.insert_workflow(own, parts, edges, dict.fromkeys(limit_keys.values()))

    def _edge(self, child: str, parent: str, slot: int, position: int) -> NewDependency:
        key = self.store.key
        return NewDependency(key(self.ids[child]), key(self.ids[parent]), slot, position)

    @property
    def states(self) -> dict[str, JobState]:
        """The states of the parts by name, and that of the workflow by ""."""
        states = dict(Job.objects.filter(pk__in=self.ids.values()).values_list("pk", "state"))
        return {name: JobState(states[pk]) for name, pk in self.ids.items() if pk in states}

    @property
    def state(self) -> JobState:
        return self.states[""]

    def row(self, name: str = "") -> Job:
        return Job.objects.get(pk=self.ids[name])

    def run(self, worker: str = "", **outcomes: Outcome | JobState) -> list[str]:
        """Run parts until none is ready, in one exchange after the other; return their names.

        Args:
            worker: its id.
            outcomes: the outcomes of parts by name; the others succeed and return their name.
        """
        worker = worker or register_worker()
        order = []
        self.step(worker)
        while claimed := claim(worker):
            finished = [self.finished(job, outcomes) for job in claimed]
            order += [self.names[job.id] for job in claimed]
            assert not self.store.exchange(worker, finished, NO_CLAIM).refused
            self.step(worker)
        return order

    def finished(self, job: ClaimedJob, outcomes: Mapping[str, Outcome | JobState]) -> FinishedJob:
        name = self.names[job.id]
        outcome = outcomes.get(name) or succeeded(f'"{name}"')
        if isinstance(outcome, JobState):
            outcome = failed(FAILURE)._replace(state=int(outcome))
        return job, outcome

    def step(self, worker: str = "") -> None:
        """Take notices until there is none."""
        step_workflows(worker or register_worker())


def step_workflows(worker: str) -> None:
    """Take notices about workflows until there is none."""
    for _ in range(1000):
        if get_store("default").step_workflows(worker).next_in is None:
            return
    raise AssertionError("There are always more notices.")


def workflow_notices() -> list[UUID]:
    return list(WorkflowNotice.objects.values_list("job", flat=True))


def dependencies() -> int:
    return Dependency.objects.count()


def delete_by_sql(flow: Flow, *names: str) -> None:
    """Delete parts as no code of Django does, which would leave a notice."""
    with connection.cursor() as cursor:
        for name in names:
            key = flow.store.key(flow.ids[name])
            cursor.execute("DELETE FROM offload_job WHERE id = %s", [key])
