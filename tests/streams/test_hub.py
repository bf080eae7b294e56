"""The hub: whoever changes a job, all who follow it in this process are told."""

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
    """An event loop in a thread of its own, as a server has one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop under test")
        self._thread.start()

    def run[T](self, body: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(body, self._loop).result(20)

    def call[T](self, function: Callable[..., T], *arguments: Any) -> T:
        async def body() -> T:
            return function(*arguments)

        return self.run(body())

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


class Page:
    """Who follows jobs."""

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

    def leave(self) -> None:
        for job in self.ids:
            self._loop.call(self._hub.unsubscribe, job, self)


@pytest.fixture
def follow(loop: Loop, hub: Hub) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def start(*jobs: Any, known: int = 0) -> Page:
        pages.append(Page(loop, hub, *jobs, known=known))
        return pages[-1]

    yield start
    for page in pages:
        page.leave()


def bump(job: Any, *, by: int = 1) -> None:
    """Change a job as somebody would who tells nobody."""
    Job.objects.filter(pk=job.id).update(version=F("version") + by)


def test_a_change_by_another_process_is_told(follow, process_environment):
    result = tasks.private.enqueue()
    page = follow(result)

    subprocess.run(
        [sys.executable, "-m", "django", "offload_jobs", "cancel", result.id, "--yes"],
        env={**process_environment, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
        capture_output=True,
    )

    until(lambda: page.states == [JobState.CANCELLED])


def test_what_an_engine_does_is_told_from_the_beginning_to_the_end(follow, start_worker, gate):
    result = worker_tasks.hold.enqueue(str(gate))
    page = follow(result)
    start_worker(1)

    until(lambda: page.states == [JobState.RUNNING])
    gate.touch()

    until(lambda: page.states == [JobState.RUNNING, JobState.SUCCESSFUL])


def test_that_a_worker_was_killed_is_told(follow, start_worker):
    result = worker_tasks.die.enqueue()
    page = follow(result)

    start_worker(1)

    until(lambda: {JobState.RUNNING, JobState.SCHEDULED} <= set(page.states))
    lost = page.snapshots[page.states.index(JobState.SCHEDULED)].job
    assert lost is not None
    assert lost.worker_losses == 1
    result.cancel()
    until(lambda: page.states[-1] in {JobState.CANCELLED, JobState.RUNNING})


def test_a_change_that_nobody_rang_for_is_told(follow):
    result = tasks.private.enqueue()
    page = follow(result)

    bump(result)

    until(lambda: page.versions == [1])


def test_what_happened_between_reading_and_following_is_told(follow):
    result = tasks.private.enqueue()
    known = Job.objects.get(pk=result.id).version
    bump(result)

    page = follow(result, known=known)

    until(lambda: page.versions == [1])


def test_what_is_known_is_not_told(follow, loop):
    known, other = tasks.private.enqueue(), tasks.private.enqueue()
    page = follow(known, other)
    bump(other)

    until(lambda: page.snapshots)

    assert [snapshot.id for snapshot in page.snapshots] == [UUID(other.id)]


def test_a_job_that_is_gone_is_told_as_such(follow):
    result = tasks.private.enqueue()
    page = follow(result)
    Job.objects.filter(pk=result.id).delete()

    until(lambda: page.states == [None])


def test_a_job_that_never_was_is_gone(follow):
    class Nothing:
        id = new_id()

    page = follow(Nothing)

    until(lambda: page.states == [None])


def test_how_it_failed_comes_along(follow, start_worker):
    result = tasks.refuse.enqueue("Too large.")
    page = follow(result)

    start_worker(0)

    until(lambda: page.states[-1:] == [JobState.FAILED])
    failure = page.snapshots[-1].snapshot.failure
    assert failure is not None
    assert failure.message == "Too large."


def test_all_followers_share_one_look_and_one_document(follow, monkeypatch):
    looks: list[int] = []
    watch = get_watcher("default")
    look = watch.poll
    monkeypatch.setattr(watch, "poll", lambda: (looks.append(1), look()))
    result = tasks.private.enqueue()
    pages = [follow(result) for _ in range(50)]

    bump(result)
    get_notifier("default").notify(Hint.CHANGED)
    until(lambda: all(page.versions == [1] for page in pages))

    assert len({id(page.snapshots[0]) for page in pages}) == 1
    threads = [t for t in threading.enumerate() if t.name.startswith("offload-watch")]
    assert len(threads) == 1


def test_a_late_follower_is_told_what_the_others_know_already(follow):
    result = tasks.private.enqueue()
    first = follow(result)
    bump(result)
    until(lambda: first.versions == [1])

    second = follow(result)

    until(lambda: second.versions == [1])


def test_who_has_left_is_told_nothing_more(follow, hub):
    result = tasks.private.enqueue()
    gone, there = follow(result), follow(result)
    gone.leave()

    bump(result)

    until(lambda: there.versions == [1])
    assert gone.snapshots == []
    there.leave()
    assert not hub._subscribers
    assert not get_watcher("default")._watched


def test_nothing_is_lost_however_followers_and_writers_meet(loop, hub):
    """Each page reads, then follows; the last state that it is told is the last one there was."""
    results = [tasks.private.enqueue() for _ in range(10)]
    pages: list[Page] = []

    def write(result: Any) -> None:
        for _ in range(30):
            bump(result)
        connections.close_all()

    def read(result: Any) -> None:
        for _ in range(30):
            known = Job.objects.get(pk=result.id).version
            pages.append(Page(loop, hub, result, known=known))
        connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, each) for each in results for work in (write, read)]:
            done.result(60)
    late = [page for page in pages if page.versions]

    until(lambda: all(page.versions[-1] == 30 for page in late))
    assert all(page.versions == sorted(page.versions) for page in late)
    for page in pages:
        page.leave()


def test_an_event_loop_that_was_closed_harms_no_other(loop, follow):
    result = tasks.private.enqueue()
    closed = Loop()
    gone = Page(closed, closed.call(get_hub, "default"), result)
    closed.stop()
    page = follow(result)

    bump(result)

    until(lambda: page.versions == [1])
    assert gone.snapshots == []


def test_following_goes_on_when_the_connection_breaks(follow):
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL ends the connections of others so")
    result = tasks.private.enqueue()
    page = follow(result, known=UNKNOWN_VERSION)
    until(lambda: page.versions == [0])

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND (query LIKE '%json_to_recordset%' OR query LIKE 'LISTEN%')"  # those of the watch
        )
    bump(result)

    until(lambda: page.versions == [0, 1])
