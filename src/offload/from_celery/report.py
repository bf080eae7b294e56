"""What a move from Celery consists of: items in sections, each with what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Item(NamedTuple):
    """A setting, a task, a schedule, or the messages of a queue that have something in common.

    Attributes:
        name: what it is called in Celery.
        becomes: what takes its place.
        lost: what it has that nothing takes the place of.
        by_hand: what somebody must do; empty if nothing.
        is_left: whether `--write` has left it, or would leave it, where it is.
        ids: of the messages that it stands for.
    """

    name: str
    becomes: str = ""
    lost: str = ""
    by_hand: str = ""
    is_left: bool = False
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Section:
    """The items of one kind.

    Attributes:
        key: its name in JSON.
        title: its heading.
        items: in the order in which they are shown.
        unread: what could not be read, and why.
    """

    key: str
    title: str
    items: list[Item] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return the section as JSON values."""
        items = [item._asdict() | {"ids": list(item.ids)} for item in self.items]
        return {"items": items, "not_read": list(self.unread)}


@dataclass(slots=True)
class Report:
    """Everything that a run of the command has found.

    Attributes:
        sections: in the order in which they are shown.
        is_written: whether it has also changed something.
    """

    sections: list[Section]
    is_written: bool

    def left(self) -> Iterator[Item]:
        """Yield what `--write` leaves, or would leave, where it is."""
        for section in self.sections:
            yield from (item for item in section.items if item.is_left)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left."""
        return not any(self.left())

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        sections = {section.key: section.document() for section in self.sections}
        return {"written": self.is_written, "complete": self.is_complete, **sections}
