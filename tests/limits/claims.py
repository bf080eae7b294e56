"""What a worker claims of jobs with limits."""

from __future__ import annotations

from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, FinishedJob
from tests.jobs import NO_CLAIM


def claim(worker: str, *finished: FinishedJob, slots: int = 100) -> list[ClaimedJob]:
    """Claim jobs with a limit."""
    request = LimitedRequest("default", (), (), slots, slots)
    return get_store("default").exchange(worker, finished, NO_CLAIM, limited=request).claimed
