"""Joints: jobs between two groups of nodes that all wait for each other.

If 1,000 nodes wait for 1,000 others, a joint waits for the others, and the nodes wait for the
joint: 2,000 dependencies instead of a million.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from offload.workflows.nodes import Node

MAX_DIRECT = 1000
"""Dependencies of one group of nodes on another, up to which a joint costs more than it saves."""


class JointKey(NamedTuple):
    """What nodes that share a joint have in common.

    Attributes:
        parents: the number of the group that they wait for.
        condition: how these must have finished.
    """

    parents: int
    condition: str


class Joints:
    """The joints that a workflow needs.

    Args:
        nodes: of the workflow.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._numbers: dict[int, int] = {}
        """Of each group, by the id of its tuple: thousands of nodes may name the same one."""
        self._parents: dict[tuple[int, ...], int] = {}
        counts: Counter[tuple[JointKey, int]] = Counter()
        for node in nodes:
            for unit in units(node):
                if key := self._key(node, unit):
                    counts[key, len(unit)] += 1
        self._needed = {key for (key, size), count in counts.items() if size * count > MAX_DIRECT}

    def find(self, node: Node, unit: tuple[Node, ...]) -> JointKey | None:
        """Return the joint by which a node waits for a group; None if it waits for its nodes."""
        key = self._key(node, unit)
        return key if key in self._needed else None

    def _key(self, node: Node, unit: tuple[Node, ...]) -> JointKey | None:
        """Return the key of the joint that a node may share with others to wait for a group.

        There is none for `when="failed"`: a joint would not tell whether a node failed, or was
        cancelled because one before it did.
        """
        condition = node.condition or "succeeded"
        if len(unit) < 2 or condition == "failed":
            return None
        number = self._numbers.get(id(unit))
        if number is None:
            parents = tuple(parent.index for parent in unit)
            number = self._parents.setdefault(parents, len(self._parents))
            self._numbers[id(unit)] = number
        return JointKey(number, condition)


def units(node: Node) -> Iterator[tuple[Node, ...]]:
    """Yield the groups of nodes that a node waits for."""
    yield from node.sources
    yield from node.order
