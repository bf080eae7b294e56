"""`chain` and `group`: workflows in one expression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.tasks import Task

from offload.exceptions import InvalidWorkflow
from offload.partials import Partial
from offload.workflows.builder import Workflow
from offload.workflows.graph import Graph
from offload.workflows.nodes import MAX_NAME_CHARS, NodeOrGroup

if TYPE_CHECKING:
    from offload.results import WorkflowResult

type Step = Task[..., Any] | Partial | _Composite
"""A step of a chain, or a member of a group."""


class _Composite(ABC):
    """What a chain and a group have in common.

    Attributes:
        kind: the key in `STEPS`.
        steps: the tasks.
    """

    kind: ClassVar[str]

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    def then(self, task: Any, /, *args: Any, **kwargs: Any) -> Chain:
        """Return a chain in which a task follows, whose first argument is the result of this.

        Args:
            task: a task, a chain or a group.
            args, kwargs: its further arguments.
        """
        if not args and not kwargs:
            return chain(self, task)
        return chain(self, _with_arguments(task, args, kwargs))

    def enqueue(self, *args: Any, **kwargs: Any) -> WorkflowResult[Any]:
        """Enqueue the tasks as a workflow, which returns the result of the last one.

        Args:
            args, kwargs: the first arguments of the first tasks; those of `partial` follow them.
        """
        with Workflow(self.name) as flow:
            flow.returns(self.add_to(flow, *args, **kwargs))
        return flow.result

    async def aenqueue(self, *args: Any, **kwargs: Any) -> WorkflowResult[Any]:
        """Do what `enqueue` does."""
        return await sync_to_async(self.enqueue, thread_sensitive=True)(*args, **kwargs)

    @property
    def name(self) -> str:
        """The name of the workflow: the title of its last task, or the name of that task."""
        last = self.steps[-1]
        if isinstance(last, _Composite):
            return last.name
        task = last.task if isinstance(last, Partial) else last
        title = " ".join(str(getattr(task, "title", "")).split())
        return (title or str(task.name))[:MAX_NAME_CHARS]

    @abstractmethod
    def add_to(self, graph: Graph, /, *args: Any, **kwargs: Any) -> NodeOrGroup:
        """Add the nodes; return the last node or group, whose result is that of all."""

    def __repr__(self) -> str:
        return f"{type(self).__name__.lower()}({', '.join(map(_describe, self.steps))})"


class Chain(_Composite):
    """Tasks that follow each other; see `chain`."""

    kind = "chain"

    def add_to(self, graph: Graph, /, *args: Any, **kwargs: Any) -> NodeOrGroup:
        first, *others = self.steps
        last: NodeOrGroup = graph.add(first, *args, **kwargs)
        for step in others:
            last = graph.add(step, last)
        return last


class Group(_Composite):
    """Tasks that run at the same time; see `group`."""

    kind = "group"

    def add_to(self, graph: Graph, /, *args: Any, **kwargs: Any) -> NodeOrGroup:
        return graph.group([graph.add(step, *args, **kwargs) for step in self.steps])


def chain(*steps: Step) -> Chain:
    """Return a chain: each task gets the result of the one before as its first argument.

        chain(fetch.partial(url), parse, store.partial(bucket="x")).enqueue()

    Args:
        steps: tasks, tasks with arguments by `partial`, groups, or other chains.

    Raises:
        TypeError: for no step, or something else than a task.
    """
    if not steps:
        raise TypeError("chain() needs tasks.")
    return Chain(_checked("chain()", steps))


def group(*members: Step | Iterable[Step]) -> Group:
    """Return a group of tasks that run at the same time; its result is the list of theirs.

        group(resize.partial(pk) for pk in pictures).then(make_album, title="Summer").enqueue()

    Args:
        members: tasks, tasks with arguments by `partial`, chains or groups; or one iterable.

    Raises:
        TypeError: for something else than a task.
        InvalidWorkflow: for no task.
    """
    if len(members) == 1 and not isinstance(members[0], Task | Partial | _Composite):
        [iterable] = members
        if not isinstance(iterable, Iterable):
            raise TypeError(f"group() needs tasks, not {iterable!r:.100}.")
        members = tuple(iterable)
    if not members:
        raise InvalidWorkflow(
            "group() got no tasks. For a list that may be empty, use flow.map() in a workflow."
        )
    return Group(_checked("group()", members))


STEPS = {Chain.kind: chain, Group.kind: group}
"""The functions that make the composites of steps that `encode_step` has encoded, by `kind`."""


def _checked(place: str, steps: Iterable[Any]) -> tuple[Step, ...]:
    steps = tuple(steps)
    for step in steps:
        if not isinstance(step, Task | Partial | _Composite):
            raise TypeError(
                f"{place} needs tasks, task.partial(...), chains or groups, not {step!r:.100}."
            )
    return steps


def _with_arguments(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Partial:
    match task:
        case Partial():
            return Partial(task.task, (*task.args, *args), {**task.kwargs, **kwargs})
        case Task():
            return Partial(task, args, kwargs)
    raise TypeError(f"then() can pass arguments to a task only, not to {task!r:.100}.")


def _describe(step: Step) -> str:
    if isinstance(step, Partial):
        return f"{step.task.name}.partial(...)"
    return step.name if isinstance(step, Task) else repr(step)
