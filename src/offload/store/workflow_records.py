"""Workflows as plain tuples: the parts to insert, which of them wait for which, and results.

A workflow is a job, BLOCKED until all its parts have ended. Each part is a job too. Its row says
for how many others it still waits; the dependencies say for which.

A result is passed on by reference. Where a part's result is to stand in the arguments of another
part, these have a dict with the one key RESULT and a slot: `{"offload:result": 1}`. RESULTS stands
for the list of results of all parts that fill the slot. The same dicts in the return value of a
part, with slots below 0, hand its result over to other parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from offload.exceptions import InvalidWorkflow
from offload.store.limit_records import KeysToOpen
from offload.store.records import NewJob

RESULT = "offload:result"
"""The key of a dict that stands for the result of one part; its value is the slot."""
RESULTS = "offload:results"
"""The key of a dict that stands for the list of results of the parts that fill the slot."""
REFERENCE = '"offload:result'
"""What is in the JSON text of each value with a RESULT or RESULTS."""

JOINT_PATH = "offload.workflows.tasks.join"
"""The path of the task of a joint, which hands the results of some parts over to others."""
ORDER_ONLY = 0
"""The slot of a dependency through which no result is passed on."""
IMPLIED = -1
"""The position of a dependency on a part that was added by another one. For such a dependent, a
part that was skipped counts as one that succeeded."""

MAX_IMPLIED = 100_000
"""Dependencies on added parts: of each dependent of the part that adds them on each of them."""


class NewPart(NamedTuple):
    """A part of a workflow to insert.

    Attributes:
        job: its row, with the state that it would have if it waited for no other part, READY,
            LIMITED or SCHEDULED. `arguments` has RESULT and RESULTS where results are to stand.
        run_when: a `RunWhen`, of all parts that it waits for.
        limit_key: the key of its task's limit, or the one of `at_once`; None without.
    """

    job: NewJob
    run_when: int
    limit_key: str | None = None


class NewDependency(NamedTuple):
    """A part that waits for another one, or takes its result.

    Attributes:
        child: id of the part that waits; with a slot below 0 also that of the workflow itself.
        parent: id of the part that it waits for.
        slot: above 0 the place in the child's arguments that the parent's result fills, below 0 the
            place in its return value, ORDER_ONLY if it only waits.
        position: the place in the list of results, for a slot that RESULTS stands for.
    """

    child: str
    parent: str
    slot: int = ORDER_ONLY
    position: int = 0


class NewWorkflow(NamedTuple):
    """A workflow to insert, as `insert_workflow` takes it.

    Attributes:
        job: its own row, whose arguments `workflow_arguments` makes.
        parts: its jobs.
        dependencies: which of them wait for which.
        keys: the keys of limits of its parts.
    """

    job: NewJob
    parts: list[NewPart]
    dependencies: list[NewDependency]
    keys: KeysToOpen


class NewParts(NamedTuple):
    """Parts that a running part adds to its workflow.

    Attributes:
        parts: the new parts.
        dependencies: which of them wait for which, and those with a slot below 0 of the running
            part, to hand over its result.
        keys: the keys of limits of the new parts.
    """

    parts: Sequence[NewPart]
    dependencies: Sequence[NewDependency]
    keys: KeysToOpen


def require_few_dependents(dependents: int, added: int) -> None:
    """Raise InvalidWorkflow if too many parts would wait for too many that one of them adds."""
    if dependents * added > MAX_IMPLIED:
        raise InvalidWorkflow(
            f"{dependents:,} nodes wait for this one, and would wait for each of the {added:,} "
            f"that it adds: {dependents * added:,} dependencies, at most {MAX_IMPLIED:,} are "
            "allowed. "
            "Let one node wait for this one, and the others for that node."
        )


def workflow_arguments(
    name: str,
    returns: Any = None,
    *,
    tolerant: bool = False,
    names: Mapping[str, str] | None = None,
    task: str = "",
) -> str:
    """Return the arguments of a workflow's own job, as JSON text.

    Args:
        name: the name that people see.
        returns: what the workflow returns, with RESULT and RESULTS, whose slots are below 0.
        tolerant: whether it succeeds although parts failed that others follow in any case.
        names: the ids of the parts that have a name, by name.
        task: the path of the task whose result it returns.
    """
    definition = {
        "returns": returns,
        "tolerant": tolerant,
        "names": dict(names or {}),
        "task": task,
    }
    return json.dumps([[name], definition], ensure_ascii=False)


def read_workflow(arguments: str) -> dict[str, Any]:
    """Return what `workflow_arguments` was told, by the names of its arguments."""
    (name,), definition = json.loads(arguments)
    return {"name": name, **definition}
