"""The task that costs nothing."""

from __future__ import annotations

from offload import task


@task
def noop() -> None:
    """Do nothing, so that all that is measured is the queue."""
