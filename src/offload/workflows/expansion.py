"""The part that makes jobs of the items of a list that another part returns: `map` over a node.

The items are known only when it runs, so one of its arguments is the task, partial, chain or group
to which each item is passed, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.tasks.exceptions import InvalidTask

from offload.exceptions import InvalidWorkflow, TaskNotFound
from offload.partials import Partial
from offload.ready_made import ready_made_task
from offload.task_lookup import find_task, with_options
from offload.workflows import current
from offload.workflows.canvas import STEPS


@ready_made_task(
    title="Map",
    no_retry_on=(InvalidWorkflow, InvalidTask, TaskNotFound, TypeError),
)
def expand(
    items: Any,
    *,
    step: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    source: str,
    at_once: int | None = None,
) -> Any:
    """Add a node for each item of a list to the workflow, and return the list of their results.

    Args:
        items: what the node before has returned.
        step: what each item is passed to, as `encode_step` returns it.
        kwargs: its further arguments.
        source: the path of the task that has returned the items.
        at_once: how many of the nodes run at once.

    Raises:
        InvalidWorkflow: if the items are no list, or too many.
    """
    if not isinstance(items, list):
        raise InvalidWorkflow(
            f"map() needs a list of items, but {source} returned {items!r:.100}. Let the task "
            "return a list."
        )
    if len(items) > current.MAX_ADDED:
        raise InvalidWorkflow(
            f"map() can make at most {current.MAX_ADDED:,} jobs of one result, but {source} "
            f"returned {len(items):,} items. Let it return a list of shorter lists, and map a "
            "task over them that calls current_workflow().map()."
        )
    group = current.current_workflow().map(decode_step(step), items, **kwargs)
    return group if at_once is None else group.at_once(at_once)


def decode_step(step: Mapping[str, Any]) -> Any:
    """Return what `encode_step` was called with.

    Raises:
        TaskNotFound: if the code has no such task any more.
    """
    if "kind" in step:
        return STEPS[step["kind"]](*map(decode_step, step["steps"]))
    options = dict(step["options"])
    if "run_after" in options:
        options["run_after"] = datetime.fromisoformat(options["run_after"])
    task = with_options(find_task(step["task"]), **options)
    return Partial(task, tuple(step["args"]), step["kwargs"]) if "args" in step else task
