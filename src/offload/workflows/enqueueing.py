"""From the nodes of a workflow to its rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.tasks import Task

from offload.backends.base import OffloadBackend, get_backend
from offload.backends.calls import EncodedCall
from offload.backends.rows import JobBatch
from offload.exceptions import InvalidWorkflow
from offload.lifecycle import JobState, RunWhen
from offload.reserved_ids import take_reserved_id
from offload.results import canonical_id
from offload.store.limit_records import KeyDetails, KeysToOpen, LimitNumbers, merged
from offload.store.workflow_records import (
    RESULT,
    RESULTS,
    NewDependency,
    NewPart,
    NewParts,
    NewWorkflow,
    workflow_arguments,
)
from offload.task_lookup import with_options
from offload.uuid7 import new_id
from offload.workflows import tasks
from offload.workflows.graph import Graph
from offload.workflows.joints import JointKey, Joints, units
from offload.workflows.nodes import MapNode, Node, NodeOrGroup, Width, leaves
from offload.workflows.references import Slots, without_results

if TYPE_CHECKING:
    from offload.results import WorkflowResult

AT_ONCE = "at_once/"
"""How the name of the limit starts that `at_once` makes; its number follows."""
_RUN_WHEN = {
    "succeeded": RunWhen.SUCCEEDED,
    "ended": RunWhen.ENDED,
    "failed": RunWhen.FAILED,
}


def enqueue_workflow(
    graph: Graph, name: str, returned: NodeOrGroup | None, *, tolerant: bool
) -> WorkflowResult[Any]:
    """Insert a workflow in the caller's transaction; return its job.

    Args:
        graph: its nodes, at least one.
        name: its name.
        returned: what it returns.
        tolerant: see `offload.workflow`.

    Raises:
        InvalidWorkflow: if a node with `when="failed"` or "ended" waits for no other.
        InvalidTask: if the key of a limit cannot be made of the arguments of a node.
        QueueUnavailable: if the database does not respond, or was not migrated.
    """
    backend = graph.backend
    assert backend is not None  # noqa: S101  # the first node has set it
    return backend.enqueue_workflow(new_workflow(graph, name, returned, tolerant=tolerant))


def new_workflow(
    graph: Graph, name: str, returned: NodeOrGroup | None, *, tolerant: bool
) -> NewWorkflow:
    """Return the rows of a workflow, without inserting them.

    Args:
        graph, name, returned, tolerant: those of `enqueue_workflow`.

    Raises:
        InvalidWorkflow, InvalidTask: those of `enqueue_workflow`.
    """
    backend = graph.backend
    assert backend is not None  # noqa: S101  # the first node has set it
    rows = _Rows(graph, backend, take_reserved_id() or new_id())
    return rows.workflow(name, returned, tolerant=tolerant)


def added_parts(graph: Graph, job: UUID, value: Any) -> tuple[NewParts, Any]:
    """Return the rows of nodes that a running job adds, and its return value.

    Args:
        graph: the nodes, at least one.
        job: id of the running job.
        value: what its task has returned, with nodes whose results are to stand in it.
    """
    backend = graph.backend
    assert backend is not None  # noqa: S101  # that of the running job
    return _Rows(graph, backend, job).additions(value)


class _Rows:
    """The rows of a workflow, or of nodes that a running job adds.

    Args:
        graph: the nodes.
        backend: of the workflow's job.
        identifier: of the workflow's job, or of the running one.
    """

    def __init__(self, graph: Graph, backend: OffloadBackend, identifier: UUID) -> None:
        self._owner = graph
        self._backend = backend
        self._nodes = nodes = graph.nodes
        self._key = backend.row_key
        self._own_id = self._key(identifier)
        self._ids = [self._key(node.identifier or new_id()) for node in nodes]
        self._joints = Joints(nodes)
        self._joint_ids: dict[JointKey, str] = {}
        self._parts: list[NewPart] = []
        self._dependencies: list[NewDependency] = []

    def workflow(self, name: str, returned: NodeOrGroup | None, *, tolerant: bool) -> NewWorkflow:
        """Return the rows of a workflow with this name."""
        keys = self._add_parts()
        names = {name: self._ids[node.index] for name, node in self._owner.names.items()}
        arguments = workflow_arguments(
            name,
            self._returns(returned),
            tolerant=tolerant,
            names={name: canonical_id(key) for name, key in names.items()},
            task=_path_of(returned),
        )
        first = self._nodes[0].task if self._nodes else None
        job = self._own_batch(tasks.workflow, first).row(self._own_id, arguments)
        return NewWorkflow(job, self._parts, self._dependencies, keys)

    def additions(self, value: Any) -> tuple[NewParts, Any]:
        """Return the rows that a running job adds, and its return value."""
        keys = self._add_parts()
        returned = self._returns(value)
        return NewParts(self._parts, self._dependencies, keys), returned

    def _add_parts(self) -> KeysToOpen:
        """Add the rows of all nodes; return the keys of their limits."""
        batches = _batches(self._nodes, self._backend)
        keys: KeysToOpen = {}
        limit_keys = _limit_keys(batches.values(), self._own_id, keys)
        of_nodes = {id(task): batch for task, batch, _ in batches.values()}
        for node in self._nodes:
            batch = of_nodes[id(node.task)]
            self._add_part(node, batch, limit_keys.get(node.index))
        return keys

    def _add_part(self, node: Node, batch: JobBatch, limit_key: str | None) -> None:
        joints = [self._joint(node, unit) for unit in units(node)]
        job = batch.row(self._ids[node.index], self._connect(node, joints))
        if limit_key is not None and job.state == JobState.READY:
            job = job._replace(state=int(JobState.LIMITED))
        self._parts.append(NewPart(job, _RUN_WHEN[node.condition or "succeeded"], limit_key))

    def _connect(self, node: Node, joints: Sequence[str | None]) -> str:
        """Add the dependencies of a node; return its arguments.

        Args:
            node: the node.
            joints: the id of the joint of each group that it waits for; None without one.
        """
        text, child = node.call[0], self._ids[node.index]
        parents: set[str] = set()
        for slot, (sources, joint) in enumerate(
            zip(node.sources, joints[: len(node.sources)], strict=True), start=1
        ):
            ids = [self._ids[source.index] for source in sources] if joint is None else [joint]
            if joint is not None:  # no text of an argument has these quotes
                text = text.replace(f'{{"{RESULTS}":{slot}}}', f'{{"{RESULT}":{slot}}}')
            parents.update(ids)
            self._dependencies += [
                NewDependency(child, parent, slot, position) for position, parent in enumerate(ids)
            ]
        for sources, joint in zip(node.order, joints[len(node.sources) :], strict=True):
            ids = [self._ids[source.index] for source in sources] if joint is None else [joint]
            new = [parent for parent in dict.fromkeys(ids) if parent not in parents]
            parents.update(new)
            self._dependencies += [NewDependency(child, parent) for parent in new]
        if node.condition in {"ended", "failed"} and not parents:
            raise InvalidWorkflow(
                f"{node!r} has when={node.condition!r}, but waits for no other node. Pass "
                "the nodes to after(), or leave out when=."
            )
        return text

    def _joint(self, node: Node, unit: tuple[Node, ...]) -> str | None:
        """Return the id of the joint by which a node waits for a group, after adding its row."""
        key = self._joints.find(node, unit)
        if key is None:
            return None
        if key not in self._joint_ids:
            self._joint_ids[key] = self._add_joint(unit, key.condition)
        return self._joint_ids[key]

    def _add_joint(self, nodes: Sequence[Node], condition: str) -> str:
        joint = self._new_id()
        job = self._own_batch(tasks.join, nodes[0].task).row(joint, "[[],{}]")
        self._parts.append(NewPart(job, _RUN_WHEN[condition]))
        parents = [self._ids[node.index] for node in nodes]
        handed_over = tasks.HANDED_OVER[RESULTS]
        self._dependencies += [NewDependency(joint, parent) for parent in dict.fromkeys(parents)]
        self._dependencies += [
            NewDependency(joint, parent, handed_over, position)
            for position, parent in enumerate(parents)
        ]
        return joint

    def _returns(self, returned: Any) -> Any:
        """Return what the job returns, with placeholders whose slots are below 0."""
        slots = Slots(self._owner, sign=-1)
        value = slots.fill_in(returned)
        self._dependencies += [
            NewDependency(self._own_id, self._ids[source.index], -slot, position)
            for slot, sources in enumerate(slots.sources, start=1)
            for position, source in enumerate(sources)
        ]
        return value

    def _own_batch(self, task: Task[..., Any], node: Task[..., Any] | None) -> JobBatch:
        """Return the batch of a job beside the nodes, which runs where that of a node does."""
        backend = self._backend
        if node is not None:
            backend = get_backend(node.backend)
            task = with_options(task, queue_name=node.queue_name, priority=node.priority)
        task = with_options(task, backend=backend.alias)
        return JobBatch(task, backend.alias, backend.settings, self._key)

    def _new_id(self) -> str:
        return self._key(new_id())


def _path_of(returned: NodeOrGroup | None) -> str:
    """Return the path of the task whose result a workflow returns; empty for several tasks.

    Its options say who sees the result: one task must not decide that for another.
    """
    nodes = () if returned is None else leaves(returned, "returns()")
    makers = [node.sample if isinstance(node, MapNode) else (node,) for node in nodes]
    paths = {node.task.module_path for group in makers for node in group}
    return paths.pop() if len(paths) == 1 else ""


class _Batch(NamedTuple):
    """The nodes of one task with the same options."""

    task: Task[..., Any]
    batch: JobBatch
    nodes: list[Node]


def _batches(nodes: Sequence[Node], backend: OffloadBackend) -> dict[int, _Batch]:
    batches: dict[int, _Batch] = {}
    for node in nodes:
        task = node.task
        known = batches.get(id(task))
        if known is None:
            own = get_backend(task.backend)
            batch = JobBatch(task, own.alias, own.settings, backend.row_key)
            known = batches[id(task)] = _Batch(task, batch, [])
        known.nodes.append(node)
    return batches


def _limit_keys(batches: Iterable[_Batch], workflow: str, keys: KeysToOpen) -> dict[int, str]:
    """Return the keys of limits by the indexes of nodes; add to `keys` what is known of them."""
    limit_keys: dict[int, str] = {}
    for task, batch, nodes in batches:
        if batch.limit is not None:
            of_calls = batch.limit_keys([_without_results(node) for node in nodes])
            assert of_calls is not None  # noqa: S101  # the task has a limit
            for key, details in of_calls.details.items():
                keys[key] = merged(keys[key], details) if key in keys else details
            limit_keys.update(zip((node.index for node in nodes), of_calls.keys, strict=True))
            continue
        for node in nodes:
            if node.width is not None:
                key = f"{AT_ONCE}{node.width.slots}:{workflow}.{node.width.group}"
                limit_keys[node.index] = key
                details = _details_of_width(node.width, task)
                keys[key] = merged(keys[key], details) if key in keys else details
    return limit_keys


def _details_of_width(width: Width, task: Task[..., Any]) -> KeyDetails:
    numbers = LimitNumbers(max_running=width.slots).to_json()
    is_async = inspect.iscoroutinefunction(task.func)
    return KeyDetails(f"{AT_ONCE}{width.slots}", numbers, task.backend, task.queue_name, is_async)


def _without_results(node: Node) -> EncodedCall:
    text, args, kwargs = node.call
    return (text, without_results(args), without_results(kwargs)) if node.sources else node.call
