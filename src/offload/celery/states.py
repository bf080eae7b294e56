"""The states of a task, by Celery's names."""

from __future__ import annotations

PENDING = "PENDING"
RECEIVED = "RECEIVED"
STARTED = "STARTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
REJECTED = "REJECTED"
RETRY = "RETRY"
IGNORED = "IGNORED"

READY_STATES = frozenset({SUCCESS, FAILURE, REVOKED})
"""States of a task that has finished."""
UNREADY_STATES = frozenset({PENDING, RECEIVED, STARTED, REJECTED, RETRY})
EXCEPTION_STATES = frozenset({RETRY, FAILURE, REVOKED})
"""States whose result is an exception."""
PROPAGATE_STATES = frozenset({FAILURE, REVOKED})
"""States in which `get` raises the exception."""
ALL_STATES = frozenset(
    {PENDING, RECEIVED, STARTED, SUCCESS, FAILURE, RETRY, REVOKED},
)

PRECEDENCE = [SUCCESS, FAILURE, None, REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING]
"""States from the last to the first in the life of a task; None stands for those of projects."""
_RANKS = {name: rank for rank, name in enumerate(PRECEDENCE)}
NONE_PRECEDENCE = _RANKS[None]


def precedence(state: str | None) -> int:
    """Return the rank of a state; lower ones come later in the life of a task."""
    return _RANKS.get(state, NONE_PRECEDENCE)


class state(str):  # noqa: N801  # Celery's name
    """A state that compares by its place in the life of a task: `state("STARTED") > "PENDING"`."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)
