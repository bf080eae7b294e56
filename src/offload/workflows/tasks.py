"""The tasks of jobs that a workflow adds to those of its nodes. Jobs store the paths of tasks."""

from __future__ import annotations

from typing import Any

from offload.ready_made import ready_made_task
from offload.store.workflow_records import RESULTS

HANDED_OVER = {RESULTS: -1}
"""The return value of a joint: the results of the nodes that it waits for."""


@ready_made_task(title="Workflow")
def workflow(*_: Any, **__: Any) -> None:
    """Stand for a workflow: no worker runs its job."""
    raise RuntimeError("No worker runs the job of a workflow, which finishes with its last part.")


@ready_made_task(title="Join")
def join() -> dict[str, int]:
    """Hand over the results of the nodes before it, as a list, to all those behind it."""
    return HANDED_OVER
