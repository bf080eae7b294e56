"""Jobs in every state, made by the store's own verbs."""

from typing import Any
from uuid import UUID

from offload.lifecycle import JobFailure, JobState, Outcome, failed
from offload.models import Job, Worker
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimRequest
from offload.uuid7 import new_id

NO_ROOM = ClaimRequest("default", ())
FAILURE = JobFailure("builtins.ValueError", "no", "Traceback ...\nValueError: no\n")


def register(using: str = "default", lease: float = 30) -> str:
    """Add an engine; return its id."""
    store = get_store(using)
    worker = Worker(
        id=new_id(), backend="default", hostname="here", pid=1, queues="", processes=1, threads=1
    )
    store.register(worker, lease=lease)
    return store.key(worker.pk)


def claim(worker: str, *, using: str = "default") -> list[ClaimedJob]:
    """Claim all that is ready."""
    room = ClaimRequest("default", ("default", "mail", "slow"), 100, 100)
    return get_store(using).exchange(worker, [], room).claimed


def finish(outcome: Outcome, *, worker: str = "") -> str:
    """Claim the one job that is ready and let it end; return its worker's id, with dashes."""
    worker = worker or register()
    (job,) = claim(worker)
    exchange = get_store("default").exchange(worker, [(job, outcome)], NO_ROOM)
    assert not exchange.refused
    return str(UUID(worker))


def put(result: Any, state: JobState) -> None:
    """Bring a ready job into any state."""
    job = Job.objects.filter(pk=result.id)
    if state == JobState.SCHEDULED:
        job.update(state=state)
    elif state == JobState.RUNNING:
        claim(register())
    elif state.is_finished:
        finish(failed(FAILURE)._replace(state=int(state)))
