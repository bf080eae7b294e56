"""Outcomes that an attempt stores itself, in one transaction with what its task has written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from django.db import InterfaceError, OperationalError, transaction

from offload import lifecycle
from offload.exceptions import InvalidResult
from offload.failpoints import failpoint
from offload.lifecycle import Outcome
from offload.serialization import encode_result

if TYPE_CHECKING:
    from offload.store.records import ClaimKey, FinishedJob, ProgressUpdates, Written
    from offload.store.workflow_records import NewParts, NewWorkflow
    from offload.worker.execution.job_run import JobRun


class OutcomeWriter(Protocol):
    """The methods of the store that an attempt calls.

    Attributes:
        using: alias in DATABASES where a task with `atomic=True` runs in a transaction.
    """

    using: str

    def fill_in(self, job: str, value: Any, *, max_size: int, of_arguments: bool) -> Any: ...

    def finish(
        self, finished: Sequence[FinishedJob], new: NewParts | NewWorkflow | None = None
    ) -> Written: ...

    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]: ...


class ClaimLost(Exception):
    """Another worker has claimed the job: the effects of an atomic task are rolled back."""


class CommitLost(Exception):
    """The database failed around the task's code: its transaction may be rolled back."""


def succeed(run: JobRun, value: Any) -> Outcome:
    """Return the outcome of an attempt whose task returned a value; keep the parts that it adds.

    Raises:
        InvalidResult: if the value cannot be stored.
    """
    if run.additions is not None:
        run.new_parts, value = run.additions.complete(value)
    if run.is_skipped:
        return lifecycle.skipped()
    try:
        return lifecycle.succeeded(encode_result(value, max_bytes=run.options.max_result_size))
    except (ValueError, RecursionError) as error:  # a TypeError stays one, as in Django
        raise InvalidResult(str(error)) from error


def write_in_transaction(run: JobRun, outcome: Outcome, store: OutcomeWriter) -> None:
    """Write the outcome and the last progress, which the worker would write too late.

    Raises:
        ClaimLost: another worker holds the job.
    """
    written = store.finish([(run.job, outcome)], run.new_parts)
    if written.refused:
        raise ClaimLost
    run.ended = written.ended
    if run.reporter is not None:
        key = run.job.key
        store.keep_progress([(key, run.reporter.snapshot())], finished=[key])


def write_with_parts(run: JobRun, outcome: Outcome, store: OutcomeWriter) -> Outcome:
    """Write a success and the parts that the task adds to its workflow, in one transaction.

    Raises:
        ClaimLost: another worker holds the job.
        CommitLost: the database failed.
    """
    try:
        with transaction.atomic(store.using):
            write_in_transaction(run, outcome, store)
            failpoint("executor.parts_added")
    except (OperationalError, InterfaceError) as error:
        raise CommitLost(str(error).strip()) from error
    failpoint("executor.parts_committed")
    return outcome._replace(written=True)
