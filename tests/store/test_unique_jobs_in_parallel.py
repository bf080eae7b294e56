"""Unique jobs while many connections enqueue, replace, claim, finish, cancel and retry at once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from offload import InvalidJobState
from offload.backends.changes import retry_job
from offload.lifecycle import JobState, Outcome, failed, released, retried, snoozed, succeeded
from offload.models import Job
from offload.serialization import decode
from offload.store import get_store
from offload.store.records import ClaimedJob, ClaimRequest, FinishedJob
from tests import unique_tasks as tasks
from tests.jobs import FAILURE, NO_CLAIM, register_worker
from tests.models import Effect
from tests.waiting import TIMEOUT_SECONDS

SHOPS = "abcd"
ENQUEUERS, WORKERS = 3, 3
CALLS_EACH = 40
CONFLICTS = 40
"""Fewer say nothing: the callers go on until there were more, however seldom they meet."""
ONE_AT_A_TIME: list[Any] = [tasks.import_shop, tasks.replaced]
"""Tasks whose jobs hold their keys until they have finished."""
NO_CALL_LOST: list[Any] = [tasks.until_started, tasks.debounced_at_once]
"""Tasks whose jobs start after the callers have committed."""

OUTCOMES: list[tuple[int, Callable[[], Outcome]]] = [
    (12, lambda: succeeded("null")),
    (2, lambda: failed(FAILURE)),
    (1, released),
    (1, lambda: retried(FAILURE, 0.0)),
    (1, lambda: snoozed(0.005)),
]

pytestmark = pytest.mark.django_db(transaction=True)


class Ledger:
    """What runs, and which calls it has seen, kept outside the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self.highest: Counter[str] = Counter()
        self.seen: set[tuple[str, str]] = set()
        """Jobs, each with a write that was committed when the job had started."""

    def start(self, jobs: list[ClaimedJob]) -> None:
        keys = [key_of(job) for job in jobs]
        with self._lock:
            self._running.update(keys)
            self.highest |= self._running
        committed = Effect.objects.values_list("token", flat=True) if keys else []
        self.seen |= {
            (job.id, token)
            for token in committed
            for job in jobs
            if token.rpartition(":")[0] == key_of(job)
        }

    def end(self, jobs: list[ClaimedJob]) -> None:
        with self._lock:
            self._running.subtract(map(key_of, jobs))

    def most_at_once(self) -> list[int]:
        """Return how many jobs of each key ran at once at most, for keys with one at a time."""
        return [
            self.highest[f"{task.module_path}:{shop}"] for task in ONE_AT_A_TIME for shop in SHOPS
        ]


class Crowd:
    """Threads that do at random what workers and projects do, until all jobs have finished."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.conflicts = 0
        self.promised: set[tuple[str, str]] = set()
        """Jobs that calls have returned, each with what the caller had written."""
        self._lock = threading.Lock()
        self._is_done = threading.Event()
        self._enqueuing = ENQUEUERS
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
        """Enqueue jobs in transactions that write, and commit some time later."""
        for number in count():
            if self._is_done.is_set() or (number >= CALLS_EACH and self._has_met_enough()):
                break
            task = chance.choice(ONE_AT_A_TIME + NO_CALL_LOST)
            shops = chance.sample(SHOPS, chance.randint(1, 3))
            tokens = [f"{task.module_path}:{shop}:{id(chance)}-{number}" for shop in shops]
            is_committed = chance.random() > 0.1
            with transaction.atomic():
                Effect.objects.bulk_create([Effect(token=token) for token in tokens])
                results = task.enqueue_many([((shop,), {}) for shop in shops])
                self._is_done.wait(chance.random() * 0.004)
                transaction.set_rollback(not is_committed)
            with self._lock:
                self.conflicts += sum(not result.is_new for result in results)
            if is_committed and task in NO_CALL_LOST:
                ids = [self._store.key(UUID(result.id)) for result in results]
                self.promised |= set(zip(ids, tokens, strict=True))
        with self._lock:
            self._enqueuing -= 1

    def _has_met_enough(self) -> bool:
        """Return whether callers have found others' jobs, and a job of each key has run."""
        return self.conflicts > CONFLICTS and all(self.ledger.most_at_once())

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
            request = ClaimRequest("default", ("default",), chance.randint(1, 5), 1)
            claimed = self._store.exchange(worker, finished, request).claimed
            self.ledger.start(claimed)
            held += claimed
            if not (claimed or finished):
                self._is_done.wait(0.002)
        self._store.exchange(worker, self._finished(chance, held), NO_CLAIM)

    def _finished(self, chance: random.Random, jobs: list[ClaimedJob]) -> list[FinishedJob]:
        weights = [weight for weight, _ in OUTCOMES]
        self.ledger.end(jobs)
        return [(job, chance.choices(OUTCOMES, weights)[0][1]()) for job in jobs]

    def _change(self, chance: random.Random) -> None:
        """Cancel and retry jobs; at last wait until all have finished."""
        paths = [task.module_path for task in ONE_AT_A_TIME]
        while self._enqueuing:
            ids = list(Job.objects.filter(task_path__in=paths).values_list("pk", flat=True))
            for job in chance.sample(ids, min(3, len(ids))):
                with transaction.atomic():
                    try:
                        if chance.random() < 0.5:
                            self._store.cancel(job)
                        else:
                            retry_job(self._store, job)
                    except InvalidJobState:
                        Job.objects.exists()  # the transaction goes on
            if self._is_done.wait(0.003):
                return
        while Job.objects.filter(state__lt=JobState.SUCCESSFUL).exists():
            if self._is_done.wait(0.01):
                return
        self._is_done.set()


def key_of(job: ClaimedJob) -> str:
    (shop,), _ = decode(job.arguments)
    return f"{job.task_path}:{shop}"


def test_no_key_is_held_twice_or_for_ever_and_no_call_is_lost() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer")
    crowd = Crowd()

    crowd.run()

    assert crowd.conflicts > CONFLICTS
    assert set(crowd.ledger.most_at_once()) == {1}
    assert not Job.objects.exclude(unique_key=None).exists()
    assert not crowd.promised - crowd.ledger.seen
