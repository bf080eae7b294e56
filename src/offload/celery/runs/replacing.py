"""Of `self.replace()`: something else takes the place of the running task, under the same id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offload.celery.exceptions import Ignore


class Replacement(Ignore):
    """Raised by `replace` to end the running task; tasks that catch `Ignore` to raise it know it.

    Args:
        signature: of what takes its place.
        add: adds the tasks of a canvas; it returns what the job of the running task returns. None
            for a single task, which runs in the same attempt.
    """

    def __init__(self, signature: Any, add: Callable[[], Any] | None = None) -> None:
        super().__init__(signature)
        self.signature = signature
        self.add = add
