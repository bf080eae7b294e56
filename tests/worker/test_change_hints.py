"""Engines tell those who watch that jobs have changed, and nobody else."""

from __future__ import annotations

import select
import threading
import time
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
from offload.worker.change_hints import WATCHED, ChangeHints
from tests.tasks import add
from tests.worker import tasks
from tests.worker.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)


class Diary:
    """What a watch told of one job: its states, in order."""

    def __init__(self) -> None:
        self.states: list[JobState] = []
        self.versions: list[int] = []

    def tell(self, seen: list[JobSnapshot]) -> None:
        for _, job, _ in seen:
            assert job is not None
            self.states.append(JobState(job.state))
            self.versions.append(job.version)


@pytest.fixture
def watch() -> Iterator[Watcher]:
    watch = get_watcher("default")
    yield watch
    watch.stop()


class Bells:
    def __init__(self) -> None:
        self.rung: list[Hint] = []

    def notify(self, hint: Hint) -> None:
        self.rung.append(hint)


def test_only_who_watches_is_told(monkeypatch):
    bells, now = Bells(), 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    audience = ChangeHints(bells)  # type: ignore[arg-type]
    audience.tell()  # somebody may have begun before it listened
    now += WATCHED
    audience.tell()
    assert bells.rung == [Hint.CHANGED]

    audience.remember()
    audience.tell()

    assert bells.rung == [Hint.CHANGED] * 2


def test_what_can_wait_is_told_with_what_cannot():
    bells = Bells()
    audience = ChangeHints(bells)  # type: ignore[arg-type]
    audience.tell_soon()
    assert bells.rung == []

    audience.tell()
    audience.duty.run_if_due(time.monotonic() + 1)
    assert bells.rung == [Hint.CHANGED]

    audience.tell_soon()
    audience.duty.run_if_due(time.monotonic() + 1)
    assert bells.rung == [Hint.CHANGED] * 2


@pytest.fixture
def heard(worker) -> Iterator[Callable[[], bool]]:
    """Tell whether a change was rung, where the database has hints."""
    listener = get_notifier("default").listen(Hint.CHANGED)

    def listen() -> bool:
        descriptor = listener.fileno()
        assert descriptor is not None
        select.select([descriptor], [], [], 10)
        return Hint.CHANGED in listener.receive()

    yield listen
    listener.close()


def test_the_begin_and_the_end_of_a_job_are_told(heard, gate):
    result = tasks.hold.enqueue(str(gate))

    assert heard()
    until(lambda: Job.objects.get(pk=result.id).state == JobState.RUNNING)
    gate.touch()

    assert until(heard)
    assert result.wait(20).state == JobState.SUCCESSFUL


def test_a_job_that_wrote_its_own_end_is_told_too(watch, start_worker, monkeypatch):
    """Its outcome comes to no exchange, and here no clock would bring a look at it."""
    monkeypatch.setattr("offload.watching.poll_timer.MAX_POLL_INTERVAL", 60)
    monkeypatch.setattr("offload.watching.poll_timer.MAX_RELIABLE_POLL_INTERVAL", 60)
    diary = Diary()
    result = tasks.atomic_write.enqueue("once")
    watch.subscribe({UUID(result.id): 0}, diary.tell)

    start_worker(0)

    until(lambda: diary.states[-1:] == [JobState.SUCCESSFUL])


def test_all_that_happens_to_a_job_is_seen_in_order(watch, start_worker):
    diary = Diary()
    result = add.using(run_after=timedelta(hours=1)).enqueue(1)
    watch.subscribe({UUID(result.id): 0}, diary.tell)
    assert get_store("default").run_now(UUID(result.id))
    get_notifier("default").notify(Hint.CHANGED)
    until(lambda: diary.states == [JobState.READY])

    start_worker(0)

    until(lambda: diary.states[-1:] == [JobState.SUCCESSFUL])
    assert diary.versions == sorted(set(diary.versions))


def test_a_cancel_is_told_by_whoever_asks_for_it(watch):
    diary, told = Diary(), threading.Event()

    def tell(seen: list[JobSnapshot]) -> None:
        diary.tell(seen)
        told.set()

    result = add.enqueue(1)
    watch.subscribe({UUID(result.id): 0}, tell)
    result.cancel()

    assert told.wait(20)
    assert diary.states == [JobState.CANCELLED]
    connections.close_all()
