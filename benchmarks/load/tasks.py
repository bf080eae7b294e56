"""A task that does nothing."""

from __future__ import annotations

from offload import task


@task
def noop() -> None:
    """Do nothing, so that only the queue is measured."""
