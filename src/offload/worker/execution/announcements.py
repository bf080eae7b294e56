"""Sends `task_finished` for jobs that finished elsewhere, or without running."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING
from uuid import UUID

from django.tasks.signals import task_finished

from offload import exceptions
from offload.backends.rows import result_from_row
from offload.exceptions import JobError
from offload.lifecycle import Outcome
from offload.signal_receivers import has_no_receivers
from offload.store import get_store
from offload.store.records import EndedJob, FinishedJob, as_claimed
from offload.store.releases import FAILURES
from offload.worker.execution.connections import reset_connections
from offload.worker.execution.job_run import JobRun, log_level

if TYPE_CHECKING:
    from offload.models import Attempt, Job

logger = logging.getLogger("offload.worker")

ROWS_PER_QUERY = 200
"""How many jobs one query reads, to send their signals."""


def announce_finished(finished: Sequence[FinishedJob]) -> None:
    """Send `task_finished` for jobs that finished without an executor, such as lost ones.

    Receivers may be slow, so call it in a thread of its own, whose connections it closes.
    """
    for job, outcome in finished:
        path, message, _ = outcome.failure or ("", "", "")
        _while_handling(path, message, partial(_announce_alone, JobRun(job), outcome))
        reset_connections()
    reset_connections(close_all=True)


def announce_ended_alone(ended: Sequence[EndedJob], using: str) -> None:
    """Do what `announce_ended` does, in a thread of its own, whose connections it closes."""
    announce_ended(ended, using)
    reset_connections(close_all=True)


def announce_ended(ended: Sequence[EndedJob], using: str) -> None:
    """Send `task_finished` for jobs of workflows that ended because others did.

    Their rows are read only if the signal has receivers. Those that were retried or deleted
    meanwhile are left out.

    Args:
        ended: the jobs.
        using: alias in DATABASES where they are stored.
    """
    heard = [job for job in ended if not has_no_receivers(task_finished, log_level(job.state))]
    try:
        for batch in batched(heard, ROWS_PER_QUERY):
            _announce_batch(batch, using)
    except Exception:
        message = "The signals of %d jobs of workflows were not sent."
        logger.exception(message, len(heard))


def _announce_batch(ended: Sequence[EndedJob], using: str) -> None:
    states = {UUID(job.id): job.state for job in ended}
    for row, attempts in get_store(using).read_many(states):
        if row.state != states[row.pk]:
            continue  # it was retried
        announce = partial(_announce_end, JobRun(as_claimed(row)), row, attempts)
        if row.state in FAILURES and attempts:
            last = attempts[-1]
            _while_handling(last.exception_class_path, last.message, announce)
        else:
            copy_context().run(announce)


def _while_handling(path: str, message: str, announce: Callable[[], None]) -> None:
    """Send a job's signal while its error is being handled, as Django's receiver logs that."""
    kind = getattr(exceptions, path.rpartition(".")[2], JobError)
    try:
        raise kind(message)  # noqa: TRY301  # Django's receiver logs the current exception
    except BaseException:  # noqa: BLE001
        copy_context().run(announce)


def _announce_alone(run: JobRun, outcome: Outcome) -> None:
    """Send the signal of a job that this process has not run."""
    run.enter()  # which `start` does in other cases
    run.announce_finish(outcome)


def _announce_end(run: JobRun, row: Job, attempts: Sequence[Attempt]) -> None:
    run.enter()
    run.announce_end(result_from_row(row, attempts))
