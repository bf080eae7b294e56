"""`current_workflow`: the workflow of the running job, as its code sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from offload.backends.base import OffloadBackend, get_backend
from offload.context import running_job
from offload.exceptions import InvalidWorkflow
from offload.workflows.enqueueing import added_parts
from offload.workflows.graph import Graph
from offload.workflows.references import Slots

if TYPE_CHECKING:
    from offload.results import OffloadResult, WorkflowResult
    from offload.store.workflow_records import NewParts
    from offload.workflows.nodes import Node

MAX_ADDED = 10_000
"""Nodes that one job can add."""


class CurrentWorkflow(Graph):
    """The workflow of the running job, to which `add` and `map` add nodes.

    The transaction that stores the success of the job inserts the jobs of the nodes; a job that
    fails adds none. Whatever waits for the job waits for them too. If the task returns nodes, their
    results take their place in its result.

    Args:
        backend: of the job.
        workflow: id of the workflow's job.
        job: id of the running job.
    """

    def __init__(self, backend: OffloadBackend, workflow: str, job: str) -> None:
        super().__init__()
        self.backend = self._backend = backend
        self._workflow = workflow
        self._job = job
        self._is_open = True

    def require_open(self, action: str) -> None:
        """Raise InvalidWorkflow once the task has returned."""
        if not self._is_open:
            raise InvalidWorkflow(f"{action} was called after the task of the job had returned.")

    def take_name(self, name: str, node: Node) -> None:
        """Refuse a name: the job of the workflow has stored them already."""
        raise InvalidWorkflow(
            f"{node!r} cannot have the name {name!r}: a running job adds nodes without names. Find "
            "their jobs by the name of their task."
        )

    def complete(self, value: Any) -> tuple[NewParts | None, Any]:
        """Return the rows of the nodes, and the task's return value with references to results.

        Raises:
            InvalidWorkflow: for too many nodes, or nodes of another workflow in the value.
        """
        self._is_open = False
        if not self.nodes:
            return None, Slots(self, sign=-1).fill_in(value)
        if len(self.nodes) > MAX_ADDED:
            raise InvalidWorkflow(
                f"A job can add at most {MAX_ADDED:,} nodes to its workflow, not "
                f"{len(self.nodes):,}. Let the nodes that it adds add the rest."
            )
        return added_parts(self, UUID(self._job), value)

    @property
    def result(self) -> WorkflowResult[Any]:
        """The job of the workflow, as it is now."""
        return cast("WorkflowResult[Any]", self._backend.get_result(self._workflow))

    def result_of(self, name: str) -> Any:
        """Return the result of a part; None if it has not succeeded.

        Args:
            name: as `named` has given it, or the name of a task that has one part only.

        Raises:
            KeyError: if there is no such part.
        """
        part = self.result.node(name)
        return part.return_value if part.status == part.status.SUCCESSFUL else None

    def failures(self) -> list[OffloadResult[Any]]:
        """Return the parts that failed or expired so far."""
        return self.result.failures()

    def results(self) -> Iterator[Any]:
        """Yield the results of the parts that this one waited for, in the order of their nodes.

        It reads 1,000 at a time, so all of them together may be larger than arguments can be. For a
        part that did not succeed it yields None.
        """
        return self._backend.results_before(self._job)


def current_workflow() -> CurrentWorkflow:
    """Return the workflow of the running job.

    Raises:
        InvalidWorkflow: outside a job, or in one that is no part of a workflow.
    """
    running = running_job()
    if running is None:
        raise InvalidWorkflow("current_workflow() was called outside a running task.")
    if running.workflow is None:
        raise InvalidWorkflow(
            "current_workflow() was called in a job that is no part of a workflow: it was enqueued "
            "by enqueue(). Start it by workflow(), chain() or group()."
        )
    if running.additions is None:
        backend = get_backend(running.backend)
        running.additions = CurrentWorkflow(backend, running.workflow, running.id)
    return cast("CurrentWorkflow", running.additions)
