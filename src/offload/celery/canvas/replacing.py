"""Lets a task or a canvas take the place of the running task: `self.replace(chain(...))`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from offload.backends.workflows import announce_workflow
from offload.celery.calls.chosen_ids import require_new
from offload.celery.canvas.chains import chain
from offload.celery.canvas.chords import chord
from offload.celery.canvas.chunks import chunks
from offload.celery.canvas.groups import group
from offload.celery.canvas.plans import Before, OpenWorkflow, Plan
from offload.celery.ready_made import ACCUMULATE
from offload.celery.runs.notes import add_to_note
from offload.celery.runs.replacing import Replacement
from offload.celery.signatures import Signature, maybe_signature
from offload.celery.tasks.request import allow_join_result
from offload.context import running_job
from offload.workflows.current import current_workflow
from offload.workflows.enqueueing import new_workflow
from offload.workflows.nodes import MAX_NAME_CHARS

if TYPE_CHECKING:
    from offload.celery.tasks.request import Context
    from offload.store.workflow_records import NewWorkflow


def replacement_by(signature: Any, request: Context) -> Replacement:
    """Return the exception by which something takes the place of the running task.

    Args:
        signature: of a task or a canvas.
        request: the call of the running task.

    Raises:
        TypeError: for something else than a signature.
        ValueError: for a chain without tasks.
    """
    signature = maybe_signature(signature)
    if not isinstance(signature, Signature):
        raise TypeError(f"replace() takes a signature, such as task.s(), not {signature!r:.100}.")
    canvas = _with_one_result(signature)
    if request.is_eager or request.called_directly:
        return Replacement(partial(_run_here, canvas))
    return Replacement(partial(_add, canvas, request))


def _with_one_result(signature: Any) -> Any:
    """Return a canvas whose last task has the result: behind a group, one that returns its list."""
    if isinstance(signature, chunks):
        signature = signature.group()
    if isinstance(signature, chain) and not signature.tasks:
        raise ValueError("replace() cannot use a chain without tasks.")
    return signature | Signature(ACCUMULATE) if _ends_in_group(signature) else signature


def _ends_in_group(signature: Any) -> bool:
    if isinstance(signature, chord):
        return _ends_in_group(signature.body)
    if isinstance(signature, chain):
        return _ends_in_group(signature.tasks[-1])
    return isinstance(signature, group)


def _run_here(canvas: Any) -> Any:
    with allow_join_result():
        return canvas.apply().get()


def _add(canvas: Any, request: Context) -> Any:
    """Let the success of the running job insert the tasks; return what the job returns."""
    running = running_job()
    assert running is not None  # noqa: S101  # an attempt of a worker
    flow = OpenWorkflow(canvas.name[:MAX_NAME_CHARS])
    plan = Plan(current_workflow() if running.workflow else flow)
    added = canvas.add_to(plan, Before(root=request.root_id, parent=request.id))
    require_new(plan.chosen_ids)
    add_to_note(replaced=added.result.id)
    plan.announce()
    if running.workflow:
        return added.value
    flow.tolerant = plan.is_tolerant
    flow.returns(added.value)
    running.additions = _NextWorkflow(flow)
    return None


class _NextWorkflow:
    """A workflow that the success of the running job inserts.

    Args:
        flow: its nodes.
    """

    def __init__(self, flow: OpenWorkflow) -> None:
        self._flow = flow

    def complete(self, value: Any) -> tuple[NewWorkflow, Any]:
        """Return its rows, and the value that the job returns."""
        flow = self._flow
        rows = new_workflow(flow, flow.name, flow.returned, tolerant=flow.tolerant)
        announce_workflow(type(flow.backend), rows)
        return rows, value
