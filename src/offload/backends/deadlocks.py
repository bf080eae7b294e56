"""Refuses to wait in a job for its own workflow, or for a job that may need the slot it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from offload.context import running_job
from offload.exceptions import OffloadError

if TYPE_CHECKING:
    from offload.store.base import Store


def refuse_deadlock(store: Store, awaited: UUID) -> None:
    """Raise OffloadError if the running job, and one that it would wait for, share their slots.

    Also while slots are free: otherwise it would fail only under load. Likewise if it would wait
    for its own workflow.
    """
    from offload.store.limit_lines import (  # noqa: PLC0415  # needs the app registry
        counts_together,
    )

    running = running_job()
    if running is None:
        return
    if running.workflow == str(awaited):
        raise OffloadError(
            f"This job would wait for the workflow {awaited}, which ends only after this job, as "
            "the job is one of its parts. Add what comes next to the workflow, by after()."
        )
    own = UUID(running.current_job().id)
    keys = {job.pk: job.limit_key for job in store.find([own, awaited])}
    own_key, other_key = keys.get(own), keys.get(awaited)
    if own_key is None or other_key is None:
        return
    name = counts_together(store.using, own_key, other_key)
    if name:
        raise OffloadError(
            f"This job would wait for the job {awaited} of the same limit, {name!r}: it holds a "
            "slot that the other one may need, so both could wait for ever. End this job without "
            "waiting, and let the other one enqueue what comes next, or give their tasks "
            "different limits."
        )
