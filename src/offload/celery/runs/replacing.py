"""Of `self.replace()`: something else takes the place of the running task, under the same id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offload.celery.exceptions import Ignore


class Replacement(Ignore):
    """Raised by `replace` to end the running task; tasks that catch `Ignore` to raise it know it.

    Args:
        add: adds the tasks that take its place; it returns what the job of the running task
            returns.
    """

    def __init__(self, add: Callable[[], Any]) -> None:
        super().__init__("Something else takes the place of the task.")
        self.add = add
