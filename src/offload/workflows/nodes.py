"""Nodes: the calls of tasks that make up a workflow, and what each of them waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, get_args, overload

from offload.conf import did_you_mean
from offload.exceptions import InvalidWorkflow
from offload.serialization import encode_arguments

if TYPE_CHECKING:
    from uuid import UUID

    from django.tasks import Task

    from offload.backends.calls import EncodedCall

type When = Literal["succeeded", "ended", "failed"]
"""How the nodes that a node waits for must have finished, so that it runs."""

CONDITIONS: list[str] = list(get_args(When.__value__))
MAX_NAME_CHARS = 100
"""Characters of the name of a workflow or a node."""


class Owner(Protocol):
    """The part of a workflow that its nodes know.

    Attributes:
        has_forward: whether a node waits for one that was added after it.
    """

    has_forward: bool

    def require_open(self, action: str) -> None:
        """Raise InvalidWorkflow unless nodes can be added and changed."""

    def take_name(self, name: str, node: Node) -> None:
        """Keep the name of a node; raise InvalidWorkflow if another one has it."""


class Width(NamedTuple):
    """How many nodes of a group run at once.

    Attributes:
        slots: the number.
        group: the number of the group in its workflow.
    """

    slots: int
    group: int


class Node:
    """A call of a task in a workflow; as an argument of another node, its result.

    Attributes:
        owner: the workflow.
        index: its place in the order in which nodes were added.
        task: the task, with the options of this call.
        call: the arguments, encoded, with placeholders where results are to stand.
        sources: the nodes whose results fill each placeholder.
        order: nodes that it waits for without taking their results; one tuple for each argument
            of `after`.
        condition: how the nodes that it waits for must have finished; None if not chosen.
        name: as chosen by `named`.
        width: how many nodes of its group run at once.
        identifier: the id that its job gets; None for a new one.
    """

    __slots__ = (
        "call",
        "condition",
        "identifier",
        "index",
        "name",
        "order",
        "owner",
        "sources",
        "task",
        "width",
    )

    def __init__(
        self,
        owner: Owner,
        index: int,
        task: Task[..., Any],
        call: EncodedCall,
        sources: Sequence[tuple[Node, ...]] = (),
    ) -> None:
        self.owner = owner
        self.index = index
        self.task = task
        self.call = call
        self.sources = sources
        self.order: list[tuple[Node, ...]] = []
        self.condition: str | None = None
        self.name = ""
        self.width: Width | None = None
        self.identifier: UUID | None = None

    def after(self, *nodes: NodeOrGroup, when: When | None = None) -> Self:
        """Wait for other nodes, without taking their results.

        Args:
            nodes: nodes, groups, or lists of them.
            when: how all nodes that it waits for, also those in its arguments, must have finished.
                "succeeded" (the default): it runs if all succeeded, and is cancelled otherwise;
                "ended": it runs however they ended; "failed": it runs if one failed, and is
                skipped otherwise.

        Raises:
            InvalidWorkflow: for a node of another workflow or one that waits for this one, or if
                another `when` was chosen before.
            TypeError: for something else than a node.
            ValueError: for an unknown `when`.
        """
        self.owner.require_open("after()")
        if not nodes and when is None:
            raise TypeError("after() needs the nodes to wait for, or when=.")
        units = [leaves(node, "after()") for node in nodes]
        self._require_no_circle([node for unit in units for node in unit])
        if when is not None:
            self._choose(when)
        if units and all(len(unit) == 1 for unit in units):
            units = [tuple(node for unit in units for node in unit)]
        self.order += [unit for unit in units if unit]
        return self

    def named(self, name: str) -> Self:
        """Give the node a name, by which `result.node(name)` finds its job.

        Raises:
            InvalidWorkflow: if another node of the workflow has the name.
        """
        self.owner.require_open("named()")
        self.owner.take_name(require_name("a node", name), self)
        self.name = name
        return self

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        return f"<Node{name} {self.task.module_path}>"

    def _require_no_circle(self, parents: Sequence[Node]) -> None:
        """Raise InvalidWorkflow if a node is of another workflow, or waits for this one."""
        for parent in parents:
            if parent.owner is not self.owner:
                raise foreign(parent)
        # As long as each node waits for earlier ones only, there can be no circle.
        if self.owner.has_forward or any(parent.index >= self.index for parent in parents):
            self.owner.has_forward = True
            for parent in parents:
                if parent is self or self in _all_before(parent):
                    what = "itself" if parent is self else f"{parent!r}, which waits for it"
                    raise InvalidWorkflow(f"{self!r} cannot wait for {what}.")

    def _choose(self, when: str) -> None:
        if when not in CONDITIONS:
            choices = ", ".join(map(repr, CONDITIONS))
            raise ValueError(
                f"when must be one of {choices}, not {when!r}.{did_you_mean(when, CONDITIONS)}"
            )
        if self.condition not in {None, when}:
            raise InvalidWorkflow(
                f"{self!r} has when={self.condition!r} already, which holds for all nodes that "
                f"it waits for. Add a second node for when={when!r}."
            )
        self.condition = when


class MapNode(Node):
    """A node that makes a job of each item of a list; as an argument, the list of their results.

    Attributes:
        sample: the last nodes that it would add for one item.
    """

    __slots__ = ("sample",)
    sample: tuple[Node, ...]

    def at_once(self, count: int) -> Self:
        """Run at most `count` of the jobs at once, in all workers together.

        Raises:
            InvalidWorkflow: if their task has a limit of its own.
            ValueError: unless `count` is a whole number from 1.
        """
        self.owner.require_open("at_once()")
        _require_count(count)
        _, args, kwargs = self.call
        if "at_once" in kwargs:
            raise InvalidWorkflow(f"{self!r} has at_once({kwargs['at_once']}) already.")
        for node in self.sample:
            _require_unlimited(node)
        self.call = encode_arguments(args, {**kwargs, "at_once": count}, max_bytes=sys.maxsize)
        return self

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        paths = " ".join(dict.fromkeys(node.task.module_path for node in self.sample))
        return f"<MapNode{name} {paths}>"


class NodeGroup(Sequence["NodeOrGroup"]):
    """Several nodes; as an argument of another node, the list of their results, in order.

    Args:
        owner: the workflow.
        members: its nodes, or groups of nodes.
        number: of the group in its workflow.

    Attributes:
        nodes: the members, if all of them are nodes.
    """

    __slots__ = ("members", "nodes", "number", "owner")

    def __init__(self, owner: Owner, members: Sequence[NodeOrGroup], number: int) -> None:
        self.owner = owner
        self.members = tuple(members)
        nodes = tuple(member for member in self.members if isinstance(member, Node))
        self.nodes = nodes if len(nodes) == len(self.members) else None
        self.number = number

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> NodeOrGroup: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[NodeOrGroup, ...]: ...
    def __getitem__(self, index: int | slice) -> NodeOrGroup | tuple[NodeOrGroup, ...]:
        return self.members[index]

    def __iter__(self) -> Iterator[NodeOrGroup]:
        return iter(self.members)

    def after(self, *nodes: NodeOrGroup, when: When | None = None) -> Self:
        """Let each node of the group wait for other nodes; see `Node.after`."""
        for node in leaves(self, "after()"):
            node.after(*nodes, when=when)
        return self

    def named(self, name: str) -> Self:
        """Give the nodes of the group the names `name[0]`, `name[1]` and so on."""
        require_name("a group", name)
        for index, member in enumerate(self.members):
            member.named(f"{name}[{index}]")
        return self

    def at_once(self, count: int) -> Self:
        """Run at most `count` nodes of the group at once, in all workers together.

        Raises:
            InvalidWorkflow: if their task has a limit of its own.
            ValueError: unless `count` is a whole number from 1.
        """
        self.owner.require_open("at_once()")
        _require_count(count)
        nodes = leaves(self, "at_once()")
        for node in nodes:
            _require_unlimited(node)
        for node in nodes:
            node.width = Width(count, self.number)
        return self

    def __repr__(self) -> str:
        return f"<NodeGroup of {len(self.members)}>"


type NodeOrGroup = Node | NodeGroup


def leaves(value: Any, place: str) -> tuple[Node, ...]:
    """Return the nodes of a node, a group or a list of them, in order.

    Args:
        value: what the author has passed.
        place: the call that takes it, for the message.

    Raises:
        TypeError: for something else.
    """
    if isinstance(value, Node):
        return (value,)
    if isinstance(value, NodeGroup) and value.nodes is not None:
        return value.nodes
    if isinstance(value, NodeGroup | list | tuple):
        return tuple(node for member in value for node in leaves(member, place))
    raise TypeError(f"{place} takes nodes, which add() and map() return, not {value!r:.100}.")


def _all_before(node: Node) -> set[Node]:
    """Return all nodes that a node waits for, directly or through others."""
    found: set[Node] = set()
    queue = [node]
    while queue:
        for unit in (*(last := queue.pop()).sources, *last.order):
            new = [parent for parent in unit if parent not in found]
            found.update(new)
            queue += new
    return found


def foreign(node: NodeOrGroup) -> InvalidWorkflow:
    """Return the error for a node of another workflow."""
    return InvalidWorkflow(
        f"{node!r} belongs to another workflow. A node can wait only for nodes of its own "
        "workflow. To run one workflow after another, let the last task of the first start the "
        "second."
    )


def require_name(what: str, name: Any) -> str:
    """Return the name of a node or a workflow, if it is one.

    Args:
        what: what has the name.
        name: the name.

    Raises:
        TypeError: if it is not text.
        ValueError: if it is empty, too long, or has unprintable characters.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of {what} must be text, not {name!r:.100}.")
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise ValueError(
            f"The name of {what} must have 1 to {MAX_NAME_CHARS} printable characters, not "
            f"{name!r:.150}."
        )
    return name


def _require_count(count: int) -> None:
    if type(count) is not int or count < 1:
        raise ValueError(f"at_once() needs a whole number from 1, not {count!r}.")


def _require_unlimited(node: Node) -> None:
    if node.width is not None:
        raise InvalidWorkflow(f"{node!r} has at_once({node.width.slots}) already.")
    for option in ("concurrency", "rate", "fair"):
        if getattr(node.task, option, None) is not None:
            raise InvalidWorkflow(
                f"{node.task.module_path} has a limit already, by its option {option}, and a job "
                "has one limit only. Leave out at_once(), or use a task without a limit."
            )
