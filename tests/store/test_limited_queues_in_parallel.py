"""Limits of queues while several workers claim and finish jobs of all kinds at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from offload import queues
from offload.lifecycle import JobState, succeeded
from offload.models import Job
from offload.policies import Rate
from offload.policies.queue_limits import QueueLimits
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, ClaimRequest
from tests import limited_tasks
from tests.jobs import register_worker
from tests.tasks import aadd, add
from tests.waiting import TIMEOUT_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS, JOBS_OF_EACH_KIND = 4, 60
CONCURRENCY = 5
INTERVAL, BURST = 4_000, 4
LIMITS = {"mail": QueueLimits()}


class Ledger:
    """What runs, counted outside the database: up after the claim, down before the finish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self.highest = 0
        self.starts: list[int] = []

    def start(self, jobs: list[ClaimedJob]) -> None:
        with self._lock:
            self._running += len(jobs)
            self.highest = max(self.highest, self._running)
            self.starts += [job.last_attempted_at for job in jobs]

    def end(self, jobs: list[ClaimedJob]) -> None:
        with self._lock:
            self._running -= len(jobs)


def work(ledger: Ledger, seed: int) -> None:
    chance = random.Random(seed)
    store, worker = get_store("default"), register_worker()
    held: list[ClaimedJob] = []
    unfinished = Job.objects.filter(state__lt=JobState.SUCCESSFUL)
    pause = threading.Event()
    try:
        while held or unfinished.exists():
            chance.shuffle(held)
            ends = held[: chance.randint(0, len(held))]
            held = held[len(ends) :]
            ledger.end(ends)
            slots = chance.randint(1, 6)
            request = ClaimRequest(
                "default", ("mail",), slots, slots, limits=LIMITS, free=(slots, slots)
            )
            limited = LimitedRequest("default", (), (), slots, slots, LIMITS)
            done = [(job, succeeded("null")) for job in ends]
            claimed = store.exchange(worker, done, request, limited=limited).claimed
            ledger.start(claimed)
            held += claimed
            pause.wait(0.001)
    finally:
        connection.close()


def test_no_limit_of_a_queue_is_exceeded_and_no_job_is_left() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    queues.limit("mail", concurrency=CONCURRENCY, rate=Rate(250, per=1, burst=BURST))
    for task in (add, aadd):
        task.using(queue_name="mail").enqueue_many([((1,), {})] * JOBS_OF_EACH_KIND)
    call_api = limited_tasks.call_api.using(queue_name="mail")
    call_api.enqueue_many([((number % 7,), {}) for number in range(JOBS_OF_EACH_KIND)])
    ledger = Ledger()

    with ThreadPoolExecutor(WORKERS) as threads:
        futures = [threads.submit(work, ledger, seed) for seed in range(WORKERS)]
        for future in futures:
            future.result(TIMEOUT_SECONDS)

    assert ledger.highest == CONCURRENCY
    assert len(ledger.starts) == 3 * JOBS_OF_EACH_KIND
    starts = sorted(ledger.starts)
    worst = max(
        last - first + 1 - BURST - (starts[last] - starts[first]) / INTERVAL
        for first in range(len(starts))
        for last in range(first, len(starts))
    )
    assert worst <= 1  # a job with a limit of its own is stamped some milliseconds later
