"""Workers send hints about changed jobs only while some process has subscribers."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections

from offload.lifecycle import JobState
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.store.records import JobSnapshot
from offload.watching.watcher import Watcher, get_watcher
from offload.worker.change_hints import GUESS_INTERVAL, SUBSCRIPTION_SECONDS, ChangeHints
from offload.worker.timers import NEVER
from tests.tasks import add
from tests.worker import tasks
from tests.worker.clock import Clock
from tests.worker.conftest import until
from tests.worker.fake_notifier import FakeNotifier

pytestmark = pytest.mark.django_db(transaction=True)


class Subscriber:
    """The states and versions of one job, in the order in which they were reported."""

    def __init__(self) -> None:
        self.states: list[JobState] = []
        self.versions: list[int] = []
        self.was_notified = threading.Event()

    def receive(self, snapshots: list[JobSnapshot]) -> None:
        for _, job, _ in snapshots:
            assert job is not None
            self.states.append(JobState(job.state))
            self.versions.append(job.version)
        self.was_notified.set()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = get_watcher("default")
    yield watcher
    watcher.stop()


@pytest.fixture
def notifier() -> FakeNotifier:
    return FakeNotifier()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hints(notifier: FakeNotifier, clock: Clock) -> ChangeHints:
    return ChangeHints(notifier, clock=clock)


def test_hints_are_sent_only_while_a_process_may_have_subscribers(hints, notifier, clock):
    hints.jobs_changed()  # a process may have subscribed before the worker listened
    clock.now += SUBSCRIPTION_SECONDS
    hints.jobs_changed()
    assert notifier.sent == [Hint.CHANGED]

    hints.remember_subscribers()
    hints.jobs_changed()

    assert notifier.sent == [Hint.CHANGED] * 2


def test_a_worker_that_has_just_started_sends_few_hints_until_it_knows_of_subscribers(
    hints, notifier, clock
):
    """It sends the last change nevertheless: who polls without hints may do so once a second."""
    hints.jobs_changed()
    hints.jobs_changed()
    hints.jobs_changed_soon()
    assert notifier.sent == [Hint.CHANGED]
    assert hints.due_at == clock.now + GUESS_INTERVAL

    clock.now += GUESS_INTERVAL
    hints.run_if_due(clock.now)
    assert notifier.sent == [Hint.CHANGED] * 2
    assert hints.due_at == NEVER

    hints.remember_subscribers()
    hints.jobs_changed()
    hints.jobs_changed()
    assert notifier.sent == [Hint.CHANGED] * 4


def test_a_hint_that_is_held_back_is_sent_after_the_last_subscribers_may_have_left(
    hints, notifier, clock
):
    clock.now += SUBSCRIPTION_SECONDS - GUESS_INTERVAL / 2
    hints.jobs_changed()
    hints.jobs_changed()
    clock.now += GUESS_INTERVAL
    hints.jobs_changed()  # of no interest to anybody, unlike the one before
    hints.run_if_due(clock.now)
    hints.run_if_due(clock.now)

    assert notifier.sent == [Hint.CHANGED] * 2


def test_a_worker_that_exits_sends_the_hint_that_it_holds_back(hints, notifier):
    hints.flush()
    assert notifier.sent == []

    hints.jobs_changed()
    hints.jobs_changed()
    hints.flush()
    hints.flush()

    assert notifier.sent == [Hint.CHANGED] * 2


def test_a_young_worker_that_exits_sends_the_hint_of_its_last_job(start_worker, monkeypatch):
    monkeypatch.setattr("offload.worker.change_hints.GUESS_INTERVAL", 1000)
    worker = start_worker(0)
    sent = FakeNotifier()
    worker.engine._hints._notifier = sent
    for number in range(2):
        result = add.enqueue(number)
        until(lambda pk=result.id: Job.objects.get(pk=pk).state == JobState.SUCCESSFUL)

    worker.stop()

    assert set(sent.sent) == {Hint.CHANGED}
    assert worker.engine._hints.due_at == NEVER


def test_a_delayed_hint_is_sent_together_with_the_next_one(hints, notifier, clock):
    hints.remember_subscribers()
    hints.jobs_changed_soon()
    hints.run_if_due(clock.now)
    assert notifier.sent == []

    hints.jobs_changed()
    hints.run_if_due(clock.now + 1)
    assert notifier.sent == [Hint.CHANGED]

    hints.jobs_changed_soon()
    hints.run_if_due(clock.now + 1)
    assert notifier.sent == [Hint.CHANGED] * 2


def test_other_workers_are_notified_of_ready_jobs_even_without_subscribers(hints, notifier, clock):
    hints.jobs_made_ready()
    assert notifier.sent == [Hint.WORK, Hint.CHANGED]

    clock.now += SUBSCRIPTION_SECONDS
    hints.jobs_made_ready()
    assert notifier.sent == [Hint.WORK, Hint.CHANGED, Hint.WORK]


@pytest.fixture
def receives_hint(worker) -> Iterator[Callable[[], bool]]:
    """Return whether a hint about changed jobs arrives, where the database has hints."""
    listener = get_notifier("default").listen(Hint.CHANGED)

    def receive() -> bool:
        descriptor = listener.fileno()
        assert descriptor is not None
        select.select([descriptor], [], [], 10)
        return Hint.CHANGED in listener.receive()

    yield receive
    listener.close()


def test_a_hint_is_sent_when_a_job_starts_and_when_it_finishes(receives_hint, gate):
    result = tasks.hold.enqueue(str(gate))

    assert receives_hint()
    until(lambda: Job.objects.get(pk=result.id).state == JobState.RUNNING)
    gate.touch()

    assert until(receives_hint)
    assert result.wait(20).state == JobState.SUCCESSFUL


def test_a_hint_is_sent_for_a_job_that_wrote_its_own_outcome(watcher, start_worker, monkeypatch):
    """Its outcome takes part in no exchange, and here the watcher does not poll without a hint."""
    monkeypatch.setattr("offload.watching.poll_timer.MAX_POLL_INTERVAL", 60)
    monkeypatch.setattr("offload.watching.poll_timer.MAX_RELIABLE_POLL_INTERVAL", 60)
    subscriber = Subscriber()
    result = tasks.atomic_write.enqueue("once")
    watcher.subscribe({UUID(result.id): 0}, subscriber.receive)

    start_worker(0)

    until(lambda: subscriber.states[-1:] == [JobState.SUCCESSFUL])


def test_a_subscriber_receives_all_states_of_a_job_in_order(watcher, start_worker):
    subscriber = Subscriber()
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)
    watcher.subscribe({UUID(result.id): 0}, subscriber.receive)
    assert get_store("default").run_now(UUID(result.id))
    get_notifier("default").notify(Hint.CHANGED)
    until(lambda: subscriber.states == [JobState.READY])

    start_worker(0)

    until(lambda: subscriber.states[-1:] == [JobState.SUCCESSFUL])
    assert subscriber.versions == sorted(set(subscriber.versions))


def test_a_cancel_is_reported_without_a_worker(watcher):
    subscriber = Subscriber()
    result = add.enqueue(1)
    watcher.subscribe({UUID(result.id): 0}, subscriber.receive)
    result.cancel()

    assert subscriber.was_notified.wait(20)
    assert subscriber.states == [JobState.CANCELLED]
    connections.close_all()
