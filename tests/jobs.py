"""Steps that bring jobs into any state, by the store's methods."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from offload.lifecycle import JobFailure, JobState, Outcome, RunWhen, failed
from offload.models import Job, Worker
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob
from offload.uuid7 import new_id

NO_CLAIM = ClaimRequest("default", ())
FAILURE = JobFailure("builtins.ValueError", "no", "Traceback ...\nValueError: no\n")


def register_worker(using: str = "default", lease: float = 30) -> str:
    """Register a worker; return its id."""
    store = get_store(using)
    worker = Worker(
        id=new_id(), backend="default", hostname="here", pid=1, queues="", processes=1, threads=1
    )
    store.register(worker, lease=lease)
    return store.key(worker.pk)


def claim(worker: str, *, using: str = "default") -> list[ClaimedJob]:
    """Claim all ready jobs."""
    request = ClaimRequest("default", ("default", "mail", "slow"), 100, 100)
    return get_store(using).exchange(worker, [], request).claimed


def claim_limited(
    worker: str,
    *,
    finished: Sequence[FinishedJob] = (),
    slots: int = 100,
    queues: tuple[str, ...] = (),
    using: str = "default",
) -> list[ClaimedJob]:
    """Claim jobs whose limits let them start, in the exchange that finishes others."""
    request = LimitedRequest("default", queues, (), slots, slots)
    return get_store(using).exchange(worker, finished, NO_CLAIM, limited=request).claimed


def finish(outcome: Outcome, *, worker: str = "") -> str:
    """Claim the one ready job and finish it; return its worker's id, with dashes."""
    worker = worker or register_worker()
    (job,) = claim(worker)
    exchange = get_store("default").exchange(worker, [(job, outcome)], NO_CLAIM)
    assert not exchange.refused
    return str(UUID(worker))


def move_to_state(result: Any, state: JobState) -> None:
    """Bring the one ready job into any state."""
    job = Job.objects.filter(pk=result.id)
    if state == JobState.LIMITED:
        job.update(state=state, limit_key="calls:", limit_slot="w:calls:")
    elif state == JobState.SCHEDULED:
        job.update(state=state)
    elif state == JobState.BLOCKED:
        job.update(state=state, waiting_on=2, awaited=3, run_when=RunWhen.SUCCEEDED)
    elif state == JobState.LIMITED:
        job.update(state=state, limit_key="crm:5", limit_slot="w:crm:5")
    elif state == JobState.RUNNING:
        claim(register_worker())
    elif state.is_finished:
        finish(failed(FAILURE)._replace(state=int(state)))
