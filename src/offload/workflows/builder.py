"""`workflow`: builds a graph of nodes, and enqueues all of it in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async
from django.utils.asyncio import async_unsafe

from offload.exceptions import InvalidWorkflow
from offload.workflows.enqueueing import enqueue_workflow
from offload.workflows.graph import Graph
from offload.workflows.nodes import NodeOrGroup, foreign, leaves, require_name

if TYPE_CHECKING:
    from types import TracebackType

    from offload.results import WorkflowResult


class Workflow(Graph):
    """The builder that `with workflow(...)` returns; see `workflow`.

    Attributes:
        name: the title that users and operators see.
        tolerant: see `workflow`.
        nodes: the nodes, in the order in which they were added.
        returned: what the workflow returns.
    """

    def __init__(self, name: str, *, tolerant: bool = False) -> None:
        super().__init__()
        self.name = require_name("a workflow", name)
        if not isinstance(tolerant, bool):
            raise TypeError(f"tolerant must be True or False, not {tolerant!r}.")
        self.tolerant = tolerant
        self.returned: NodeOrGroup | None = None
        self._state = "new"
        self._result: WorkflowResult[Any] | None = None

    def returns(self, node: NodeOrGroup) -> None:
        """Let the workflow return the result of a node, or the results of a group as a list.

        Raises:
            InvalidWorkflow: for a node of another workflow.
            TypeError: for something else than a node.
        """
        self.require_open("returns()")
        leaves(node, "returns()")
        if node.owner is not self:
            raise foreign(node)
        self.returned = node

    @property
    def result(self) -> WorkflowResult[Any]:
        """The job of the workflow; InvalidWorkflow before the end of the block."""
        if self._result is None:
            raise InvalidWorkflow(
                f"The workflow {self.name!r} has not been enqueued: read its result after the "
                "`with` block."
            )
        return self._result

    def require_open(self, action: str) -> None:
        """Raise InvalidWorkflow outside the block."""
        if self._state == "open":
            return
        where = {
            "new": f'before its block: write `with workflow("{self.name}") as flow:`',
            "enqueued": "after it has been enqueued. Start a new workflow for more jobs",
            "failed": "after an exception has left its block, which enqueued nothing",
        }[self._state]
        raise InvalidWorkflow(f"{action} was called on the workflow {self.name!r} {where}.")

    @async_unsafe("In a coroutine, write `async with workflow(...)`: `with` would block it.")
    def enqueue(self) -> WorkflowResult[Any]:
        """Insert all jobs of the workflow in the caller's transaction, or in one of its own."""
        if not self.nodes and self.returned is None:
            raise InvalidWorkflow(
                f"The workflow {self.name!r} has no nodes. Add some by add() or map()."
            )
        self._result = enqueue_workflow(self, self.name, self.returned, tolerant=self.tolerant)
        return self._result

    def __enter__(self) -> Self:
        if self._state != "new":
            raise InvalidWorkflow(
                f"The block of the workflow {self.name!r} was entered twice. Call workflow() for "
                "each block."
            )
        self._state = "open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._state = "failed"
        if kind is None:
            self.enqueue()
            self._state = "enqueued"

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await sync_to_async(self.__exit__, thread_sensitive=True)(kind, error, None)


def workflow(name: str, *, tolerant: bool = False) -> Workflow:
    """Return a builder, for a `with` block that adds nodes; its end enqueues all of them.

        with workflow("import") as flow:
            rows = flow.map(parse, urls).at_once(20)
            flow.returns(flow.add(summarise, rows))
        result = flow.result

    An exception in the block enqueues nothing. In a coroutine write `async with`.

    Args:
        name: the title that users and operators see.
        tolerant: let the workflow succeed although nodes failed, if a node with `when="ended"`
            or `when="failed"` waits for each of these.

    Raises:
        TypeError, ValueError: for a name that is not text of 1 to 100 printable characters.
    """
    return Workflow(name, tolerant=tolerant)
