"""The names of queues that operators and tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.tasks.exceptions import InvalidTask

from offload.conf import did_you_mean

if TYPE_CHECKING:
    from offload.backends.base import OffloadBackend


def require_queue(backend: OffloadBackend, name: str) -> None:
    """Raise an error unless a backend can have a queue.

    Raises:
        LookupError: if the settings list the backend's queues, and not this one.
        ValueError: if no queue can have the name.
    """
    if backend.queues and name not in backend.queues:
        raise LookupError(
            f"TASKS[{backend.alias!r}] has no queue {name!r}."
            f"{did_you_mean(name, sorted(backend.queues))}"
        )
    try:
        backend.validate_queue(name)
    except InvalidTask as error:
        raise ValueError(str(error)) from None
