"""Placeholders for results, in the arguments of nodes and in what a workflow returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offload.exceptions import InvalidArguments
from offload.store.workflow_records import RESULT, RESULTS
from offload.workflows.nodes import Node, NodeGroup, NodeOrGroup, Owner, foreign

PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})
_RESERVED = frozenset({RESULT, RESULTS, RESULT.encode(), RESULTS.encode()})
"""Keys that stand for results in JSON, whose keys of bytes become text."""


class Slots:
    """The places that results will fill, numbered from 1; the same results share a number.

    Args:
        owner: the workflow.
        sign: 1, or -1 for the places in what a workflow returns.

    Attributes:
        sources: the nodes of each slot; the results of several fill it as a list.
    """

    def __init__(self, owner: Owner, *, sign: int = 1) -> None:
        self._owner = owner
        self._sign = sign
        self.sources: list[tuple[Node, ...]] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def fill_in(self, value: Any) -> Any:
        """Return a value with a placeholder for each node in it, also in lists and dicts.

        Raises:
            InvalidArguments: for a value that looks like a placeholder.
            InvalidWorkflow: for a node of another workflow.
        """
        kind = type(value)
        if kind in PLAIN_TYPES:
            return value
        if isinstance(value, Node | NodeGroup):
            return self._placeholder(value)
        if kind is list or kind is tuple:
            return [self.fill_in(item) for item in value]
        if isinstance(value, Mapping):
            if not _RESERVED.isdisjoint(value):
                raise InvalidArguments(
                    f"An argument has the key {RESULT!r} or {RESULTS!r}, which stand for the "
                    "result of another node. Use another key."
                )
            return {key: self.fill_in(item) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [self.fill_in(item) for item in value]
        return value

    def _placeholder(self, source: NodeOrGroup) -> Any:
        if source.owner is not self._owner:
            raise foreign(source)
        if isinstance(source, Node):
            return {RESULT: self._number(RESULT, source, (source,))}
        if source.nodes:
            return {RESULTS: self._number(RESULTS, source, source.nodes)}
        return [self._placeholder(member) for member in source.members]

    def _number(self, kind: str, source: NodeOrGroup, nodes: tuple[Node, ...]) -> int:
        key = (kind, id(source))
        if key not in self._numbers:
            self.sources.append(nodes)
            self._numbers[key] = self._sign * len(self.sources)
        return self._numbers[key]


class UnknownResult:
    """Stands for a result, which is not known yet when a limit's key is made of the arguments."""

    def __format__(self, format_spec: str) -> str:
        raise self._error()

    def __str__(self) -> str:
        raise self._error()

    def __getattr__(self, name: str) -> Any:
        raise self._error()

    def __getitem__(self, key: object) -> Any:
        raise self._error()

    def __repr__(self) -> str:
        return "<result of another node>"

    def _error(self) -> ValueError:
        return ValueError("it is the result of another node, which is not known yet")


def without_results(value: Any) -> Any:
    """Return arguments with an `UnknownResult` in the place of each placeholder."""
    if isinstance(value, Mapping):
        if value.keys() & {RESULT, RESULTS}:
            return UnknownResult()
        return {key: without_results(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_results(item) for item in value]
    return value
