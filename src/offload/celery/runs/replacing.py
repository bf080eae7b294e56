"""Of `self.replace()`: another task takes the place of the running one, under the same id."""

from __future__ import annotations

from typing import Any


class Replacement(Exception):
    """Raised by `replace` to end the running task.

    Args:
        signature: of the task that takes its place.
    """

    def __init__(self, signature: Any) -> None:
        super().__init__(signature)
        self.signature = signature


def require_task(signature: Any) -> Any:
    """Return a signature of one task.

    Raises:
        NotImplementedError: for a chain, a group or a chord.
    """
    if signature.get("subtask_type") is not None:
        raise NotImplementedError(
            f"replace() takes the signature of a task, not of a {signature['subtask_type']}. Call "
            "its apply_async(), and return its id."
        )
    return signature
