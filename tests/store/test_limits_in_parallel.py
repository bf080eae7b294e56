"""Limits while many connections enqueue, claim, finish, cancel and retry jobs at once."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from offload.lifecycle import JobState, Outcome, failed, released, retried, snoozed, succeeded
from offload.models import Job, LimitKey, LimitNotice
from offload.store import get_store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, FinishedJob
from tests import limited_tasks
from tests.jobs import FAILURE, NO_CLAIM, register_worker
from tests.waiting import TIMEOUT_SECONDS, wait_until

CUSTOMERS = "abcdef"
PER_KEY, TOTAL = 3, 7
INTERVAL, BURST = 2_500, 5
"""The numbers of `limited_tasks.everything`."""
WORKERS, ENQUEUERS = 4, 2
JOBS_EACH = 100
ENQUEUED = ENQUEUERS * JOBS_EACH

OUTCOMES: list[tuple[int, Callable[[], Outcome]]] = [
    (12, lambda: succeeded("null")),
    (2, lambda: failed(FAILURE)),
    (1, released),
    (1, lambda: retried(FAILURE, 0.0)),
    (1, lambda: snoozed(0.005)),
]

pytestmark = pytest.mark.django_db(transaction=True)


class Ledger:
    """What runs, counted outside the database: up after the claim, down before the finish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self.starts: defaultdict[str, list[int]] = defaultdict(list)
        self.highest: Counter[str] = Counter()
        self.highest_total = 0

    def start(self, jobs: list[ClaimedJob]) -> None:
        with self._lock:
            for job in jobs:
                self._running[str(job.limit_key)] += 1
                self.starts[str(job.limit_key)].append(job.last_attempted_at)
            self.highest |= self._running
            self.highest_total = max(self.highest_total, self._running.total())

    def end(self, jobs: list[ClaimedJob]) -> None:
        with self._lock:
            self._running.subtract(str(job.limit_key) for job in jobs)


class Crowd:
    """Threads that do at random what workers and projects do, until all jobs have finished."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._is_done = threading.Event()
        self._store = get_store("default")

    def run(self) -> None:
        roles: list[Callable[[random.Random], None]] = [self._enqueue] * ENQUEUERS
        roles += [self._work] * WORKERS
        roles += [self._change]
        with ThreadPoolExecutor(len(roles)) as threads:
            futures = [threads.submit(self._play, role, seed) for seed, role in enumerate(roles)]
            try:
                for future in futures:
                    future.result(TIMEOUT_SECONDS)
            finally:
                self._is_done.set()

    def _play(self, role: Callable[[random.Random], None], seed: int) -> None:
        try:
            role(random.Random(seed))
        except BaseException:
            self._is_done.set()
            raise
        finally:
            connection.close()

    def _enqueue(self, chance: random.Random) -> None:
        left = JOBS_EACH
        while left:
            count = min(left, chance.randint(1, 8))
            calls = [((chance.choice(CUSTOMERS),), {}) for _ in range(count)]
            with transaction.atomic():
                limited_tasks.everything.enqueue_many(calls)
                if chance.random() < 0.1:
                    transaction.set_rollback(True)
                    continue
            left -= count

    def _work(self, chance: random.Random) -> None:
        worker = register_worker()
        held: list[ClaimedJob] = []
        while not self._is_done.is_set() or held:
            self._store.promote()
            chance.shuffle(held)
            ends = chance.randint(0, len(held))
            finished = self._finished(chance, held[:ends])
            held = held[ends:]
            if finished and chance.random() < 0.2:  # as a task in its own transaction does
                with transaction.atomic():
                    self._store.finish(finished)
                finished = []
            slots = chance.randint(1, 5)
            request = LimitedRequest("default", (), (), slots, chance.randint(0, slots))
            claimed = self._store.exchange(worker, finished, NO_CLAIM, limited=request).claimed
            self.ledger.start(claimed)
            held += claimed
            if not (claimed or finished):
                self._is_done.wait(0.002)

    def _finished(self, chance: random.Random, jobs: list[ClaimedJob]) -> list[FinishedJob]:
        weights = [weight for weight, _ in OUTCOMES]
        self.ledger.end(jobs)
        return [(job, chance.choices(OUTCOMES, weights)[0][1]()) for job in jobs]

    def _change(self, chance: random.Random) -> None:
        """Cancel and retry jobs; at last wait until all have finished."""
        for _ in range(60):
            ids = list(Job.objects.values_list("pk", flat=True))
            for job in chance.sample(ids, min(3, len(ids))):
                with transaction.atomic():
                    if chance.random() < 0.5:
                        self._store.cancel(job)
                    else:
                        self._store.retry(job)
        unfinished = Job.objects.filter(state__lt=JobState.SUCCESSFUL)
        while Job.objects.count() < ENQUEUED or unfinished.exists():
            if self._is_done.wait(0.01):
                return
        self._is_done.set()


def excess(starts: list[int]) -> Iterator[float]:
    """Yield by how many starts each window holds more than the rate allows."""
    starts = sorted(starts)
    for first, since in enumerate(starts):
        for last in range(first, len(starts)):
            yield last - first + 1 - BURST - (starts[last] - since) / INTERVAL


def test_no_limit_is_exceeded_and_no_job_waits_for_ever() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    crowd = Crowd()

    crowd.run()

    assert crowd.ledger.highest_total <= TOTAL
    assert max(crowd.ledger.highest.values()) <= PER_KEY
    assert max(max(excess(starts)) for starts in crowd.ledger.starts.values()) <= 1e-6
    store, worker = get_store("default"), register_worker()
    assert not Job.objects.exclude(limit_slot=None).exists()

    def is_over() -> bool:
        """Look once more: a key of which jobs were locked is looked at again a moment later."""
        store.exchange(worker, [], NO_CLAIM, limited=LimitedRequest("default", (), (), 5, 5))
        return not LimitNotice.objects.exists() and not LimitKey.objects.exclude(open_at=None)

    wait_until(is_over, "all keys are closed")
