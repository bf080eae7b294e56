"""Makes nodes of signatures: a workflow, which one transaction enqueues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any, NamedTuple, Self

from offload.celery.calls.call import Call
from offload.celery.calls.chosen_ids import chosen_ids
from offload.celery.calls.preparing import Prepared, prepare
from offload.celery.calls.publishing import announce
from offload.celery.calls.times import seconds_until
from offload.celery.encoding.arguments import KEY
from offload.celery.result.async_result import AsyncResult
from offload.celery.result.sets import GroupResult
from offload.celery.result.transactions import remember
from offload.celery.signatures import Signature, listed_signatures
from offload.celery.tasks.ids import job_id
from offload.celery.tasks.options import task_option
from offload.reserved_ids import reserve_id, take_reserved_id
from offload.uuid7 import new_id
from offload.workflows.builder import Workflow
from offload.workflows.graph import Graph
from offload.workflows.nodes import MAX_NAME_CHARS, Node, NodeOrGroup, leaves


class Unit(NamedTuple):
    """Tasks whose failure an errback follows once.

    Attributes:
        nodes: those that it waits for.
        ids: of the tasks of which one is the one that failed.
    """

    nodes: tuple[Node, ...]
    ids: tuple[str, ...]


class Added(NamedTuple):
    """What a signature has added to a workflow.

    Attributes:
        value: the node or group whose result follows it.
        result: what its caller gets.
        nodes: all that were added.
        units: what errbacks of it follow.
        root: the id of the first task.
    """

    value: NodeOrGroup
    result: Any
    nodes: tuple[Node, ...]
    units: tuple[Unit, ...]
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What precedes a signature, and what its call adds to it.

    Attributes:
        value: the node or group whose result is its first argument; None for the first one.
        waits: nodes that it waits for besides.
        joins: the nodes of a header, whose failure is that of the body behind it.
        result: of what precedes it.
        root, parent: ids of the first task, and of the one before.
        args, kwargs, options: of the call.
    """

    value: NodeOrGroup | None = None
    waits: tuple[NodeOrGroup, ...] = ()
    joins: tuple[Node, ...] = ()
    result: Any = None
    root: str | None = None
    parent: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether nothing precedes it, so that it can run at once."""
        return self.value is None and not self.waits

    def with_options(self, options: Mapping[str, Any]) -> Self:
        """Return the same with other options."""
        return replace(self, options=options)

    def with_arguments(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Self:
        """Return the same with other arguments."""
        return replace(self, args=tuple(args), kwargs=kwargs)


class OpenWorkflow(Workflow):
    """A workflow that no code of a project sees before it is enqueued."""

    def require_open(self, action: str) -> None:
        """Do nothing: it needs no block."""


class Plan:
    """Makes nodes of signatures; each adds its tasks.

    Args:
        graph: the workflow that gets them.
        own_id: an id that is new, and that no caller has chosen, for the task with the result.

    Attributes:
        chosen_ids: ids that callers have chosen.
        is_tolerant: whether errbacks follow tasks that fail.
    """

    def __init__(self, graph: Graph, own_id: str | None = None) -> None:
        self.graph = graph
        self.chosen_ids: list[str] = []
        self.is_tolerant = False
        self._own_id = self._spare_id = own_id
        self._calls: list[tuple[Any, Call, Prepared]] = []

    def new_own_id(self) -> str:
        """Return a new id, for a task or a group."""
        self._own_id = str(new_id())
        return self._own_id

    def announce(self) -> None:
        """Send `after_task_publish` for all calls."""
        for task, call, prepared in self._calls:
            remember(self.graph.backend, prepared.identifier)
            announce(task, call, prepared)

    def add_task(self, signature: Signature, before: Before) -> Added:
        """Add the call of a task, and what is linked to it."""
        options = {**signature.options, **before.options}
        callbacks = listed_signatures(options.pop("link", None))
        errbacks = listed_signatures(options.pop("link_error", None))
        task_id = options.pop("task_id", None)
        if task_id == self._spare_id:  # nobody has chosen it
            task_id = signature.options.get("task_id") or task_id
        task_id = str(task_id or self.new_own_id())
        if task_id != self._own_id:
            self.chosen_ids.append(task_id)
        root = before.root or task_id
        options.setdefault("root_id", before.root)
        options.setdefault("parent_id", before.parent)
        merged = signature.clone(before.args, before.kwargs)
        task = signature.type
        call = Call(merged.args, merged.kwargs, task_id, options)
        node = self._add_call(task, call, before, takes_value=not signature.immutable)
        ignored = options.get("ignore_result")
        result = AsyncResult(
            task_id,
            task_name=task.name,
            parent=before.result,
            ignored=bool(task_option(task, "ignore_result") if ignored is None else ignored),
        )
        unit = Unit((*before.joins, node), (task_id,))
        added = Added(node, result, (node,), (unit,), root)
        for callback in callbacks:
            callback.clone().add_to(self, self.after(added))
        for errback in errbacks:
            self._add_errback(errback, unit)
        return added

    def after(
        self, added: Added, *, joins: tuple[Node, ...] = (), waits: tuple[NodeOrGroup, ...] = ()
    ) -> Before:
        """Return what precedes a signature that follows what was added.

        Args:
            added: what it follows.
            joins: the nodes of a header.
            waits: what it waits for besides.
        """
        parent = added.result.id if isinstance(added.result, AsyncResult) else None
        return Before(added.value, waits, joins, added.result, added.root, parent)

    def joined_steps(self, added: list[Added], errbacks: Iterable[Signature]) -> Added:
        """Return what the steps of a chain have added together.

        An errback of all of them follows the one that fails.
        """
        single = [one.units[0] for one in added if len(one.units) == 1]
        units = [unit for one in added if len(one.units) != 1 for unit in one.units]
        if single:
            nodes = dict.fromkeys(node for unit in single for node in unit.nodes)
            ids = tuple(task_id for unit in single for task_id in unit.ids)
            units.insert(0, Unit(tuple(nodes), ids))
        for errback in errbacks:
            for unit in units:
                self._add_errback(errback, unit)
        return added[-1]._replace(
            nodes=tuple(node for one in added for node in one.nodes),
            units=tuple(units),
            root=added[0].root,
        )

    def joined_members(self, group_id: str, added: list[Added], before: Before) -> Added:
        """Return what the members of a group have added together."""
        results = [one.result for one in added]
        result = GroupResult(group_id, results, parent=before.result)
        if len(results) == 1 and isinstance(results[0], GroupResult):
            [result] = results
        return Added(
            self.graph.group([one.value for one in added]),
            result,
            tuple(node for one in added for node in one.nodes),
            tuple(unit for one in added for unit in one.units),
            before.root,
        )

    def name_members(self, added: Added) -> None:
        """Store which nodes belong to a group, unless all nodes of the workflow do."""
        if len(self.graph.nodes) == len(added.result.results):
            return
        for number, node in enumerate(leaves(added.value, "named()")):
            node.named(str(number))

    def _add_call(self, task: Any, call: Call, before: Before, *, takes_value: bool) -> Node:
        first = () if before.value is None or not takes_value else (before.value,)
        countdown = None if before.is_first else call.options.pop("countdown", None)
        prepared = prepare(task, call, preceding=len(first))
        _note_countdown(prepared, countdown)
        if before.joins:
            _note(prepared, joins=True)
        node = self._add_node(prepared, *first)
        if before.value is not None and not takes_value:
            node.after(before.value)
        if before.waits:
            node.after(*before.waits)
        self._calls.append((task, call, prepared))
        return node

    def _add_errback(self, errback: Signature, unit: Unit) -> None:
        """Add a signature that follows tasks if one of them fails."""
        options = dict(errback.options)
        for name in ("link", "link_error", "task_id"):
            options.pop(name, None)
        task, countdown = errback.type, options.pop("countdown", None)
        call = Call(errback.args, errback.kwargs, self.new_own_id(), options)
        prepared = prepare(task, call, preceding=None)
        _note_countdown(prepared, countdown)
        if not errback.immutable:
            _note(prepared, errback=list(unit.ids))
        self._add_node(prepared).after(*unit.nodes, when="failed")
        self._calls.append((task, call, prepared))
        self.is_tolerant = True

    def _add_node(self, prepared: Prepared, *before: Any) -> Node:
        node: Node = self.graph.add(prepared.task, *before, *prepared.args, **prepared.kwargs)
        node.identifier = prepared.identifier
        return node


def publish_canvas(
    signature: Signature,
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> Any:
    """Enqueue all tasks of a signature in the caller's transaction; return its result.

    Raises:
        TypeError: if the function of a task does not take its arguments.
        EncodeError: for a value that Celery's JSON does not carry.
        ValueError: if an id is taken.
        Exception: those of workflows.
    """
    given = {name: value for name, value in options.items() if value is not None}
    result_id = given.get("task_id") or signature.options.get("task_id")
    own_id = None if result_id else str(take_reserved_id() or new_id())
    given["task_id"] = result_id = str(result_id or own_id)
    before = Before(args=tuple(args or ()), kwargs=dict(kwargs or {}), options=given)
    is_group = signature.kind == "group"
    if is_group and signature.is_empty:
        return GroupResult(result_id, [])
    flow = OpenWorkflow(signature.name[:MAX_NAME_CHARS])
    plan = Plan(flow, own_id)
    added = signature.add_to(plan, before)
    flow.tolerant = plan.is_tolerant
    flow.returns(added.value)
    if is_group:
        plan.name_members(added)
    # The id of a group is that of the workflow.
    workflow_id = job_id(result_id) if is_group else new_id()
    with chosen_ids(flow.backend, plan.chosen_ids), reserve_id(workflow_id):
        flow.enqueue()
    remember(flow.backend, workflow_id)
    plan.announce()
    return added.result


def _note_countdown(prepared: Prepared, countdown: Any) -> None:
    """Let a task that follows another one wait from the end of that, as in Celery."""
    seconds = 0.0 if countdown is None else seconds_until(countdown, UTC)
    if seconds > 0:
        _note(prepared, countdown=seconds)


def _note(prepared: Prepared, **extra: Any) -> None:
    """Store something with the call of a task, besides its arguments."""
    prepared.kwargs[KEY] = {**prepared.kwargs.get(KEY, {}), **extra}
