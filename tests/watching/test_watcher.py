"""The watcher: waiting for jobs to finish, and subscribing to their changes."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError, connections

from offload import JobState, TaskResultExpired
from offload.exceptions import TaskResultDoesNotExist
from offload.lifecycle import succeeded
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.store import get_store
from offload.watching.poll_timer import MAX_POLL_INTERVAL
from offload.watching.watcher import Watcher, get_watcher
from tests.jobs import finish
from tests.tasks import add

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def watch(transactional_db: None) -> Iterator[Watcher]:
    watch = get_watcher("default")
    yield watch
    watch.stop()


@pytest.fixture
def polls(watch: Watcher, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Count the polls of the database."""
    counted: list[None] = []
    poll = watch.poll

    def count() -> None:
        counted.append(None)
        poll()

    monkeypatch.setattr(watch, "poll", count)
    return counted


def watcher_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("offload-watch")]


def finish_job() -> None:
    """Finish the one ready job, as a worker would."""
    finish(succeeded("1"))
    get_notifier("default").notify(Hint.CHANGED)
    connections.close_all()


def run_soon(function: Any) -> threading.Thread:
    thread = threading.Timer(0.2, function)
    thread.start()
    return thread


def test_wait_returns_the_result_when_the_job_has_finished():
    result = add.enqueue(1)
    thread = run_soon(finish_job)

    assert result.wait(20).state == JobState.SUCCESSFUL
    assert result.return_value == 1
    thread.join()


def test_wait_raises_after_its_timeout():
    result = add.enqueue(1)

    with pytest.raises(TimeoutError, match=result.id):
        result.wait(0.05)
    with pytest.raises(TimeoutError):
        result.wait(0)


def test_wait_returns_at_once_for_a_finished_job():
    result = add.enqueue(1)
    finish_job()

    assert result.wait(0).state == JobState.SUCCESSFUL
    result.wait(0)
    assert not get_watcher("default")._watched


def test_a_long_wait_polls_rarely(polls):
    result = add.enqueue(1)

    with pytest.raises(TimeoutError):
        result.wait(2)

    # 2, 4, 8, ... ms apart, then a quarter of a second.
    assert len(polls) <= 10 + 2 / MAX_POLL_INTERVAL


def test_await(transactional_db):
    async def main() -> Any:
        result = await add.aenqueue(1)
        thread = run_soon(finish_job)
        finished = await result.wait_async()
        thread.join()
        return finished

    assert asyncio.run(main()).return_value == 1


def test_a_cancelled_await_leaves_no_subscription(watch):
    async def main() -> None:
        result = await add.aenqueue(1)
        with pytest.raises(TimeoutError):
            await result.wait_async(0.05)

    asyncio.run(main())

    assert not watch._watched


def test_a_closed_event_loop_does_not_disturb_other_subscribers(watch):
    result = add.enqueue(1)
    loop = asyncio.new_event_loop()
    waiting = watch.wait_async(UUID(result.id))
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    thread = run_soon(finish_job)

    assert result.wait(20).state == JobState.SUCCESSFUL
    thread.join()


def test_many_waiting_threads_share_one_watcher_thread():
    result = add.enqueue(1)

    def wait(_: int) -> JobState:
        fresh = add.get_backend().get_result(result.id)
        state: JobState = fresh.wait(20).state
        connections.close_all()
        return state

    with ThreadPoolExecutor(30) as pool:
        waits = [pool.submit(wait, n) for n in range(30)]
        until_subscribed(result.id, 30)
        assert len(watcher_threads()) == 1
        finish_job()
        assert {waiting.result() for waiting in waits} == {JobState.SUCCESSFUL}


def until_subscribed(identifier: str, count: int) -> None:
    watch = get_watcher("default")
    pause = threading.Event()
    for _ in range(1000):
        if any(len(watched.subscribers) == count for watched in list(watch._watched.values())):
            return
        pause.wait(0.01)
    raise AssertionError("Not all have subscribed.")


def test_wait_raises_when_the_job_is_pruned():
    result = add.enqueue(1)

    def prune() -> None:
        Job.objects.all().delete()
        connections.close_all()

    thread = run_soon(prune)

    with pytest.raises((TaskResultExpired, TaskResultDoesNotExist)):
        result.wait(20)
    thread.join()


def test_the_thread_exits_without_subscribers_and_starts_again(watch):
    for _ in range(2):
        with pytest.raises(TimeoutError):
            add.using(run_after=timedelta(hours=1)).enqueue(1).wait(0.05)
        watch.stop()
        assert not watcher_threads()


def test_a_wait_survives_an_error_in_the_watcher(watch, monkeypatch, caplog):
    poll, broken = watch.poll, threading.Event()

    def fail_once() -> None:
        monkeypatch.setattr(watch, "poll", poll)
        broken.set()
        raise RuntimeError("broken")

    result = add.enqueue(1)
    monkeypatch.setattr(watch, "poll", fail_once)
    waiter = threading.Thread(target=watch.wait, args=(UUID(result.id), None), daemon=True)
    waiter.start()
    assert broken.wait(20)
    finish_job()

    waiter.join(20)
    assert not waiter.is_alive()
    assert "RuntimeError: broken" in caplog.text


async def wait_async(result: Any) -> None:
    await result.wait_async(0.5)


@pytest.mark.parametrize("wait", [lambda result: result.wait(0.5), async_to_sync(wait_async)])
def test_a_finish_that_the_watcher_cannot_read_is_no_timeout(wait, monkeypatch, caplog):
    def fail(*_: Any) -> None:
        raise OperationalError("couldn't get a connection")

    result = add.enqueue(1)
    monkeypatch.setattr(get_watcher("default"), "_is_failing", False)  # as after a good poll
    monkeypatch.setattr(type(get_store("default")), "changed_since", fail)
    thread = run_soon(finish_job)
    wait(result)

    assert result.state == JobState.SUCCESSFUL
    thread.join()
    (line,) = [record.message for record in caplog.records if record.name == "offload.store"]
    assert "couldn't get a connection" in line


def test_the_thread_exits_although_each_poll_fails(watch, monkeypatch):
    def fail() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(watch, "poll", fail)
    with pytest.raises(TimeoutError):
        add.enqueue(1).wait(0.05)
    watch.stop()

    assert not watcher_threads()


def test_subscribing_never_waits_for_the_thread(watch, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(watch, "poll", release.wait)
    job, changed = UUID(add.enqueue(1).id), threading.Event()

    for _ in range(100_000):
        watch.subscribe({job: 0}, changed.set)

    release.set()
    watch.unsubscribe([job], changed.set)


def test_waiting_works_with_more_than_1024_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("too few files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        watch = Watcher("default")  # its sockets have descriptors above 1024
        result = add.enqueue(1)
        finish_job()
        assert watch.wait(UUID(result.id), 20)
        watch.stop()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
