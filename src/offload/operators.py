"""What an operator says of a change: why, and by whom."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

MAX_NAME_CHARS = 150
"""Characters of an operator's name that a row can hold."""


class PauseOptions(TypedDict, total=False):
    """The arguments of a pause.

    Attributes:
        reason: why, for operators.
        until: when the pause ends by itself: a datetime, or a timedelta from now.
        public: whether the pages of waiting jobs show the reason, too.
        changed_by: the operator.
    """

    reason: str
    until: datetime | timedelta | None
    public: bool
    changed_by: str


def require_note(reason: object, changed_by: object) -> None:
    """Raise an error unless a change can have this reason and this operator.

    Raises:
        TypeError: if one of them is not text.
        ValueError: for a name that is too long.
    """
    for name, value in (("reason", reason), ("changed_by", changed_by)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text, not {value!r}.")
    if len(str(changed_by)) > MAX_NAME_CHARS:
        raise ValueError(
            f"changed_by has more than {MAX_NAME_CHARS} characters: {changed_by!r:.100}."
        )
