"""When a worker polls the queue, and which scheduled jobs it promotes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from offload import JobState
from offload.models import Job
from offload.notifier import Hint
from offload.store import get_store
from offload.worker import cooldown
from offload.worker.change_hints import ChangeHints
from offload.worker.claiming.poller import MAX_HINT_DELAY, MAX_POLL_INTERVAL, Poller
from offload.worker.claiming.served_queues import ServedQueues
from tests.tasks import add
from tests.worker.clock import Clock
from tests.worker.fake_notifier import FakeNotifier
from tests.worker.locking import lock, transaction_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)
needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one lock for everything"
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def poller(clock: Clock, notifier: FakeNotifier) -> Poller:
    """A poller that has polled an empty queue just now."""
    poller = Poller(
        get_store("default"),
        notifier,
        served=ServedQueues("default"),
        poll_interval=1.0,
        hints=ChangeHints(notifier, clock=clock),
        clock=clock,
    )
    poller.run_if_due(clock.now)
    return poller


@pytest.fixture
def polls(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries of the whole queue from now on, by backend."""
    store = get_store("default")
    backends: list[str] = []
    query = store.poll

    def poll(backend: str) -> tuple[list[str], float | None]:
        backends.append(backend)
        return query(backend)

    monkeypatch.setattr(store, "poll", poll)
    return backends


class Loop:
    """A worker's loop without jobs, in steps of 10 ms."""

    def __init__(
        self, poller: Poller, notifier: FakeNotifier, clock: Clock, polls: list[str]
    ) -> None:
        self._poller = poller
        self._listener = notifier.listener
        self._clock = clock
        self._polls = polls

    def run(self, seconds: float, *hints: Hint) -> int:
        """Run for some time, with these hints in each step; return the number of polls."""
        before = len(self._polls)
        self._listener.arrived = set(hints)
        for _ in range(round(seconds / 0.01)):
            self._clock.now += 0.01
            self._poller.receive({0})
            self._poller.run_if_due(self._clock.now)
        return len(self._polls) - before


@pytest.fixture
def loop(poller: Poller, notifier: FakeNotifier, clock: Clock, polls: list[str]) -> Loop:
    return Loop(poller, notifier, clock, polls)


# --- when to poll -------------------------------------------------------------------------


def test_one_poll_follows_a_hint(loop: Loop) -> None:
    assert loop.run(0.01, Hint.WORK) == 0
    assert loop.run(0.02) == 1
    assert loop.run(MAX_HINT_DELAY + 0.1) == 0
    assert loop.run(10) == 0


def test_constant_hints_do_not_put_off_polls_indefinitely(loop: Loop) -> None:
    """One of them may be about a job that is due soon, and only a poll finds out when."""
    polls = loop.run(10 * MAX_HINT_DELAY, Hint.WORK)
    assert 8 <= polls <= 12
    assert loop.run(0.02) == 1  # for hints that were left out after the last one


def test_no_poll_follows_other_hints(loop: Loop) -> None:
    assert loop.run(5, Hint.CONTROL, Hint.WATCH) == 0


def test_without_hints_the_queue_is_polled_at_intervals(loop: Loop) -> None:
    assert 3 <= loop.run(4 * MAX_POLL_INTERVAL) <= 5


# --- promotion ----------------------------------------------------------------------------


def due_job() -> Any:
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)
    Job.objects.filter(pk=result.id).update(run_after=timezone.now() - timedelta(seconds=1))
    return result


def is_ready(result: Any) -> bool:
    return bool(Job.objects.get(pk=result.id).state == JobState.READY)


class Pool:
    """One that always has a free slot."""

    def capacity(self, *, is_async: bool) -> int:
        return 1


def find_no_ready_job(poller: Poller) -> None:
    pool: Any = Pool()
    assert not poller.claim_request(pool)
    assert not poller.expects_jobs


def test_other_workers_are_notified_of_promoted_jobs(
    poller: Poller, notifier: FakeNotifier
) -> None:
    find_no_ready_job(poller)
    result = due_job()

    poller.poll()

    assert is_ready(result)
    assert poller.expects_jobs
    assert notifier.sent == [Hint.WORK, Hint.CHANGED]


def test_a_job_that_is_not_due_is_not_promoted_and_no_hint_is_sent(
    poller: Poller, notifier: FakeNotifier, clock: Clock
) -> None:
    find_no_ready_job(poller)
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)

    poller.poll()

    assert not is_ready(result)
    assert poller.due_at <= clock.now + MAX_POLL_INTERVAL * 1.1
    assert not poller.expects_jobs
    assert notifier.sent == []


def test_a_job_is_promoted_when_it_is_due(poller: Poller, clock: Clock) -> None:
    result = add.using(run_after=timedelta(seconds=3)).enqueue(1)
    poller.poll()
    assert clock.now + 2 < poller.due_at <= clock.now + 3

    Job.objects.filter(pk=result.id).update(run_after=timezone.now() - timedelta(seconds=1))
    clock.now = poller.due_at
    poller.run_if_due(clock.now)

    assert is_ready(result)


@needs_server
def test_a_due_job_whose_row_is_locked_is_tried_again_a_little_later(
    poller: Poller, notifier: FakeNotifier, clock: Clock
) -> None:
    result = due_job()

    with transaction_elsewhere(lock(result.id)):
        poller.poll()
        assert not notifier.sent
        assert clock.now + 0.1 <= poller.due_at <= clock.now + 1

    clock.now = poller.due_at
    poller.run_if_due(clock.now)
    assert is_ready(result)


# --- slow queries -------------------------------------------------------------------------


@pytest.fixture
def slow_polls(polls: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries of the whole queue from now on, each of which counts as slow."""
    monkeypatch.setattr(cooldown, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(cooldown, "MIN_COOLDOWN_SECONDS", 60.0)
    return polls


def test_after_a_slow_query_polls_pause_and_jobs_are_expected_in_any_queue(
    poller: Poller, slow_polls: list[str], clock: Clock
) -> None:
    """For example over entries of promoted jobs that a transaction elsewhere keeps."""
    find_no_ready_job(poller)
    poller.poll()
    assert not poller.expects_jobs

    poller.poll()

    assert len(slow_polls) == 1
    assert poller.expects_jobs
    assert clock.now < poller.due_at <= clock.now + MAX_POLL_INTERVAL * 1.1


def test_a_known_job_is_promoted_in_time_although_polls_pause(
    poller: Poller, slow_polls: list[str], clock: Clock
) -> None:
    result = add.using(run_after=timedelta(seconds=0.5)).enqueue(1)
    poller.poll()
    assert clock.now < poller.due_at <= clock.now + 0.5

    Job.objects.filter(pk=result.id).update(run_after=timezone.now() - timedelta(seconds=1))
    clock.now = poller.due_at
    poller.run_if_due(clock.now)
    assert is_ready(result)

    clock.now = poller.due_at
    poller.run_if_due(clock.now)
    assert poller.due_at > clock.now
    assert len(slow_polls) == 1
