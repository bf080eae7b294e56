"""The hub: every subscriber of this process receives every change of its jobs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.db.models import F

from offload.lifecycle import JobState
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store.records import UNKNOWN_VERSION
from offload.streams.hub import Hub, get_hub
from offload.streams.snapshots import RenderedSnapshot
from offload.uuid7 import new_id
from offload.watching.watcher import get_watcher
from tests.live import tasks
from tests.worker import tasks as worker_tasks
from tests.worker.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)


class Loop:
    """An event loop in its own thread, as in a server."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop under test")
        self._thread.start()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def call[T](self, function: Callable[..., T], *arguments: Any) -> T:
        async def scenario() -> T:
            return function(*arguments)

        return self.run(scenario())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def loop(transactional_db: None) -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()
    get_watcher("default").stop()


@pytest.fixture
def hub(loop: Loop) -> Hub:
    return loop.call(get_hub, "default")


class JobSubscriber:
    """Records the snapshots of some jobs."""

    def __init__(self, loop: Loop, hub: Hub, *jobs: Any, known: int = 0) -> None:
        self.snapshots: list[RenderedSnapshot] = []
        self.ids = [UUID(str(job.id)) for job in jobs]
        self._loop = loop
        self._hub = hub
        loop.call(hub.subscribe, dict.fromkeys(self.ids, known), self)

    def put(self, snapshot: RenderedSnapshot) -> None:
        self.snapshots.append(snapshot)

    @property
    def states(self) -> list[JobState | None]:
        return [snapshot.job and JobState(snapshot.job.state) for snapshot in self.snapshots]

    @property
    def versions(self) -> list[int | None]:
        return [snapshot.version for snapshot in self.snapshots]

    def unsubscribe(self) -> None:
        for job in self.ids:
            self._loop.call(self._hub.unsubscribe, job, self)


@pytest.fixture
def subscribe(loop: Loop, hub: Hub) -> Iterator[Callable[..., JobSubscriber]]:
    subscribers: list[JobSubscriber] = []

    def start(*jobs: Any, known: int = 0) -> JobSubscriber:
        subscribers.append(JobSubscriber(loop, hub, *jobs, known=known))
        return subscribers[-1]

    yield start
    for subscriber in subscribers:
        subscriber.unsubscribe()


def bump(job: Any, *, by: int = 1) -> None:
    """Change a job without a hint."""
    Job.objects.filter(pk=job.id).update(version=F("version") + by)


def test_a_change_by_another_process_is_received(subscribe, process_environment):
    result = tasks.private.enqueue()
    subscriber = subscribe(result)

    subprocess.run(
        [sys.executable, "-m", "django", "offload_jobs", "cancel", result.id, "--yes"],
        env={**process_environment, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
        capture_output=True,
    )

    until(lambda: subscriber.states == [JobState.CANCELLED])


def test_changes_by_a_worker_are_received(subscribe, start_worker, gate):
    result = worker_tasks.hold.enqueue(str(gate))
    subscriber = subscribe(result)
    start_worker(1)

    until(lambda: subscriber.states == [JobState.RUNNING])
    gate.touch()

    until(lambda: subscriber.states == [JobState.RUNNING, JobState.SUCCESSFUL])


def test_a_rescue_after_a_killed_worker_is_received(subscribe, start_worker):
    result = worker_tasks.die.enqueue()
    subscriber = subscribe(result)

    start_worker(1)

    until(lambda: {JobState.RUNNING, JobState.SCHEDULED} <= set(subscriber.states))
    lost = subscriber.snapshots[subscriber.states.index(JobState.SCHEDULED)].job
    assert lost is not None
    assert lost.worker_losses == 1
    result.cancel()
    until(lambda: subscriber.states[-1] in {JobState.CANCELLED, JobState.RUNNING})


def test_a_change_without_a_hint_is_received(subscribe):
    result = tasks.private.enqueue()
    subscriber = subscribe(result)

    bump(result)

    until(lambda: subscriber.versions == [1])


def test_a_change_between_the_query_and_the_subscription_is_received(subscribe):
    result = tasks.private.enqueue()
    known = Job.objects.get(pk=result.id).version
    bump(result)

    subscriber = subscribe(result, known=known)

    until(lambda: subscriber.versions == [1])


def test_a_known_version_is_not_received(subscribe, loop):
    known, other = tasks.private.enqueue(), tasks.private.enqueue()
    subscriber = subscribe(known, other)
    bump(other)

    until(lambda: subscriber.snapshots)

    assert [snapshot.id for snapshot in subscriber.snapshots] == [UUID(other.id)]


def test_a_deleted_job_is_received(subscribe):
    result = tasks.private.enqueue()
    subscriber = subscribe(result)
    Job.objects.filter(pk=result.id).delete()

    until(lambda: subscriber.states == [None])


def test_a_job_that_never_existed_counts_as_deleted(subscribe):
    class NoJob:
        id = new_id()

    subscriber = subscribe(NoJob)

    until(lambda: subscriber.states == [None])


def test_a_failure_comes_with_its_attempt(subscribe, start_worker):
    result = tasks.refuse.enqueue("Too large.")
    subscriber = subscribe(result)

    start_worker(0)

    until(lambda: subscriber.states[-1:] == [JobState.FAILED])
    failure = subscriber.snapshots[-1].snapshot.failure
    assert failure is not None
    assert failure.message == "Too large."


def test_all_subscribers_share_one_query_and_one_snapshot(subscribe, monkeypatch):
    polls: list[int] = []
    watcher = get_watcher("default")
    poll = watcher.poll
    monkeypatch.setattr(watcher, "poll", lambda: (polls.append(1), poll()))
    result = tasks.private.enqueue()
    subscribers = [subscribe(result) for _ in range(50)]

    bump(result)
    get_notifier("default").notify(Hint.CHANGED)
    until(lambda: all(subscriber.versions == [1] for subscriber in subscribers))

    assert len({id(subscriber.snapshots[0]) for subscriber in subscribers}) == 1
    threads = [t for t in threading.enumerate() if t.name.startswith("offload-watch")]
    assert len(threads) == 1


def test_a_late_subscriber_receives_the_current_version(subscribe):
    result = tasks.private.enqueue()
    first = subscribe(result)
    bump(result)
    until(lambda: first.versions == [1])

    second = subscribe(result)

    until(lambda: second.versions == [1])


def test_after_unsubscribe_nothing_is_received(subscribe, hub):
    result = tasks.private.enqueue()
    former, current = subscribe(result), subscribe(result)
    former.unsubscribe()

    bump(result)

    until(lambda: current.versions == [1])
    assert former.snapshots == []
    current.unsubscribe()
    assert not hub._subscribers
    assert not get_watcher("default")._watched


def test_concurrent_subscribers_and_writers_lose_nothing(loop, hub):
    """Each subscriber reads a version, then subscribes; it receives the last version."""
    results = [tasks.private.enqueue() for _ in range(10)]
    subscribers: list[JobSubscriber] = []

    def write(result: Any) -> None:
        for _ in range(30):
            bump(result)
        connections.close_all()

    def read(result: Any) -> None:
        for _ in range(30):
            known = Job.objects.get(pk=result.id).version
            subscribers.append(JobSubscriber(loop, hub, result, known=known))
        connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, each) for each in results for work in (write, read)]:
            done.result(60)
    late = [subscriber for subscriber in subscribers if subscriber.versions]

    until(lambda: all(subscriber.versions[-1] == 30 for subscriber in late))
    assert all(subscriber.versions == sorted(subscriber.versions) for subscriber in late)
    for subscriber in subscribers:
        subscriber.unsubscribe()


def test_a_closed_event_loop_does_not_affect_others(loop, subscribe):
    result = tasks.private.enqueue()
    closed = Loop()
    unreachable = JobSubscriber(closed, closed.call(get_hub, "default"), result)
    closed.stop()
    subscriber = subscribe(result)

    bump(result)

    until(lambda: subscriber.versions == [1])
    assert unreachable.snapshots == []


def test_changes_are_received_after_the_connection_broke(subscribe):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL can terminate other connections")
    result = tasks.private.enqueue()
    subscriber = subscribe(result, known=UNKNOWN_VERSION)
    until(lambda: subscriber.versions == [0])

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND (query LIKE '%json_to_recordset%' OR query LIKE 'LISTEN%')"  # of the watcher
        )
    bump(result)

    until(lambda: subscriber.versions == [0, 1])
