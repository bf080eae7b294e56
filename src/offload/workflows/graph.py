"""The nodes of a workflow while it is built, and the methods that add them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, overload, runtime_checkable

from django.tasks import Task, TaskResult

from offload.backends.base import OffloadBackend
from offload.backends.calls import encode_calls
from offload.exceptions import InvalidWorkflow
from offload.partials import Partial
from offload.task_lookup import find_task, with_options
from offload.workflows.nodes import MapNode, Node, NodeGroup, NodeOrGroup, leaves
from offload.workflows.references import Slots
from offload.workflows.steps import EXPAND_PATH, encode_step


class Graph(ABC):
    """Nodes, and the methods that add them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.names: dict[str, Node] = {}
        self.backend: OffloadBackend | None = None
        """The backend of the first node; all others have the same database."""
        self._checked: dict[int, tuple[Task[..., Any], OffloadBackend]] = {}
        self._group_count = 0
        self.has_forward = False

    def add(self, task: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Add a call of a task; return its node.

        Args:
            task: the task, with the options of `using` if needed; or a chain or a group, whose
                first tasks take the arguments.
            args, kwargs: the task's arguments. A node anywhere in them becomes its result, a group
                the list of its results; the call waits for them.

        Raises:
            InvalidArguments, TypeError: for arguments that are not exact JSON, or that the task's
                function does not take.
            InvalidTask: for a task that its backend cannot serve.
            InvalidWorkflow: for a node of another workflow.
            TypeError: for something else than a task.
        """
        self.require_open("add()")
        if isinstance(task, Composite):
            return task.add_to(self, *args, **kwargs)
        if isinstance(task, Partial):
            return self.add(task.task, *args, *task.args, **{**task.kwargs, **kwargs})
        return self._add_calls("add()", task, [(args, kwargs)])[0]

    @overload
    def map(self, task: Any, items: Node, /, **kwargs: Any) -> MapNode: ...
    @overload
    def map(self, task: Any, items: Any, /, **kwargs: Any) -> NodeGroup: ...
    def map(self, task: Any, items: Any, /, **kwargs: Any) -> NodeGroup | MapNode:
        """Add one call of a task for each item; return the group of their nodes.

        For the items of a list that a node returns, it adds a node that makes these calls, and
        returns that node.

        Args:
            task: the task, or a chain, whose first argument is the item.
            items: a list; a group, whose nodes each become an item by their result; or a node that
                returns a list.
            kwargs: further arguments, the same for all calls.

        Raises:
            Exception: those of `add`.
        """
        self.require_open("map()")
        if isinstance(items, Node):
            return self._map_result(task, items, kwargs)
        items = _items(items)
        nodes: list[NodeOrGroup] = []
        if isinstance(task, Composite | Partial):
            nodes += [self.add(task, item, **kwargs) for item in items]
        else:
            nodes += self._add_calls("map()", task, [((item,), kwargs) for item in items])
        return self.group(nodes)

    def group(self, members: Iterable[NodeOrGroup]) -> NodeGroup:
        """Return a group of nodes; as an argument, it becomes the list of their results."""
        self._group_count += 1
        return NodeGroup(self, list(members), self._group_count)

    @abstractmethod
    def require_open(self, action: str) -> None:
        """Raise InvalidWorkflow unless nodes can be added and changed."""

    def take_name(self, name: str, node: Node) -> None:
        """Keep the name of a node; raise InvalidWorkflow if another one has it."""
        other = self.names.setdefault(name, node)
        if other is not node:
            raise InvalidWorkflow(
                f"{other!r} has the name {name!r} already: a name belongs to one node of a "
                "workflow."
            )
        if node.name not in {"", name}:
            del self.names[node.name]

    def _map_result(self, task: Any, source: Node, kwargs: Mapping[str, Any]) -> MapNode:
        """Add a node that makes a call of a task for each item of the list that another returns."""
        sample, first = self._rehearse(task, source, kwargs)
        own_task = with_options(
            find_task(EXPAND_PATH),
            backend=first.task.backend,
            queue_name=first.task.queue_name,
            priority=first.task.priority,
        )
        arguments = {
            "step": encode_step(task),
            "kwargs": dict(kwargs),
            "source": source.task.module_path,
        }
        node = self._add_calls("map()", own_task, [((source,), arguments)], kind=MapNode)[0]
        assert isinstance(node, MapNode)  # noqa: S101  # for type checkers
        node.sample = leaves(sample, "map()")
        return node

    def _rehearse(
        self, task: Any, source: Node, kwargs: Mapping[str, Any]
    ) -> tuple[NodeOrGroup, Node]:
        """Check a call as `add` does: it is made only when its first argument is known.

        Returns:
            What `add` would return, and the first node that it would add.
        """
        count, group_count = len(self.nodes), self._group_count
        try:
            return self.add(task, source, **kwargs), self.nodes[count]
        finally:
            del self.nodes[count:]
            self._group_count = group_count

    def _add_calls(
        self,
        place: str,
        task: Any,
        calls: list[tuple[tuple[Any, ...], Mapping[str, Any]]],
        *,
        kind: type[Node] = Node,
    ) -> list[Node]:
        backend = self._backend_of(task, place)
        prepared = []
        slots_of_calls = []
        for args, kwargs in calls:
            slots = Slots(self)
            prepared.append((tuple(map(slots.fill_in, args)), slots.fill_in(dict(kwargs))))
            slots_of_calls.append(slots.sources)
        max_bytes = backend.settings.max_arguments_size
        encoded = encode_calls(task, prepared, max_bytes=max_bytes)
        first = len(self.nodes)
        nodes = [
            kind(self, first + offset, task, call, sources)
            for offset, (call, sources) in enumerate(zip(encoded, slots_of_calls, strict=True))
        ]
        self.nodes += nodes
        return nodes

    def _backend_of(self, task: Any, place: str) -> OffloadBackend:
        """Return the backend of a task, after the checks of `enqueue`, made once for each task."""
        known = self._checked.get(id(task))
        if known is not None and known[0] is task:
            return known[1]
        _require_task(place, task)
        backend = task.get_backend()
        if not isinstance(backend, OffloadBackend):
            raise InvalidWorkflow(
                f"{task.module_path} cannot be part of a workflow: its backend is "
                f"TASKS[{task.backend!r}], {type(backend).__name__}. Set its BACKEND to "
                "'offload.backends.database.DatabaseBackend', or, in tests, to "
                "'offload.testing.ImmediateBackend'."
            )
        if getattr(task, "unique", None) is not None:
            raise InvalidWorkflow(
                f"{task.module_path} cannot be part of a workflow, as its jobs are unique: a call "
                "may make no job, so the workflow would wait for the job of another call. Let a "
                "task of the workflow enqueue it, or use a task that is not unique."
            )
        backend.validate_task(task)
        first = self.backend or backend
        if first.settings.database != backend.settings.database or type(first) is not type(backend):
            raise InvalidWorkflow(
                f"The backends {first.alias!r} and {backend.alias!r} keep their jobs in different "
                "databases. All nodes of a workflow must have the same one."
            )
        self.backend = first
        self._checked[id(task)] = (task, backend)
        return backend


@runtime_checkable
class Composite(Protocol):
    """A chain or a group of tasks."""

    kind: ClassVar[str]
    steps: tuple[Any, ...]

    def add_to(self, graph: Graph, /, *args: Any, **kwargs: Any) -> NodeOrGroup:
        """Add the nodes; return the last node or group, whose result is that of all."""


def _items(items: Any) -> list[Any]:
    if isinstance(items, NodeGroup):
        return list(items)
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise TypeError(f"map() needs a list of items, not {items!r:.100}.")
    return list(items)


def _require_task(place: str, value: Any) -> None:
    if isinstance(value, Task):
        return
    hint = ""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()  # or Python warns that it was never awaited
        hint = " Pass the task and its arguments, without a call."
    elif isinstance(value, TaskResult):
        hint = " This job is enqueued already: pass its task instead."
    elif inspect.isroutine(value):
        hint = " Is its decorator @task missing?"
    elif isinstance(value, Node | NodeGroup):
        hint = " Pass the node after the task, as an argument."
    raise TypeError(f"{place} needs a task, not {value!r:.100}.{hint}")
