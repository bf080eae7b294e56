"""Waiting for jobs to end."""

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
from django.db import connections

from offload import JobState, TaskResultExpired
from offload.exceptions import TaskResultDoesNotExist
from offload.lifecycle import succeeded
from offload.models import Job
from offload.notifier import Hint, get_notifier
from offload.watching.poll_timer import LONGEST_PAUSE
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
def looks(watch: Watcher, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Count the looks at the database."""
    counted: list[float] = []
    look = watch._look

    def count() -> None:
        counted.append(0)
        look()

    monkeypatch.setattr(watch, "_look", count)
    return counted


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("offload-watch")]


def end_one(result: Any) -> None:
    """End the one job that is ready, as an engine would."""
    finish(succeeded("1"))
    get_notifier("default").notify(Hint.CHANGED)
    connections.close_all()


def soon(function: Any, *args: Any) -> threading.Thread:
    thread = threading.Timer(0.2, function, args)
    thread.start()
    return thread


def test_wait_returns_the_result_when_the_job_has_ended():
    result = add.enqueue(1)
    thread = soon(end_one, result)

    assert result.wait(20).state == JobState.SUCCESSFUL
    assert result.return_value == 1
    thread.join()


def test_wait_gives_up_after_its_time():
    result = add.enqueue(1)

    with pytest.raises(TimeoutError, match=result.id):
        result.wait(0.05)
    with pytest.raises(TimeoutError):
        result.wait(0)


def test_a_job_that_ended_before_is_not_waited_for():
    result = add.enqueue(1)
    end_one(result)

    assert result.wait(0).state == JobState.SUCCESSFUL
    result.wait(0)
    assert not get_watcher("default")._watched


def test_a_long_wait_looks_seldom(looks):
    result = add.enqueue(1)

    with pytest.raises(TimeoutError):
        result.wait(2)

    # 2, 4, 8, ... ms apart, then a quarter of a second.
    assert len(looks) <= 10 + 2 / LONGEST_PAUSE


def test_await(transactional_db):
    async def main() -> Any:
        result = await add.aenqueue(1)
        thread = soon(end_one, result)
        ended = await result.wait_async()
        thread.join()
        return ended

    assert asyncio.run(main()).return_value == 1


def test_wait_for_ends_an_await_in_time_and_leaves_nothing_behind(watch):
    async def main() -> None:
        result = await add.aenqueue(1)
        with pytest.raises(TimeoutError):
            await result.wait_async(0.05)

    asyncio.run(main())

    assert not watch._watched


def test_an_event_loop_that_was_closed_harms_no_other_waiter(watch):
    result = add.enqueue(1)
    loop = asyncio.new_event_loop()
    waiting = watch.wait_async(UUID(result.id))
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    thread = soon(end_one, result)

    assert result.wait(20).state == JobState.SUCCESSFUL
    thread.join()


def test_many_waiters_share_one_thread():
    result = add.enqueue(1)

    def wait(_: int) -> JobState:
        mine = add.get_backend().get_result(result.id)
        state: JobState = mine.wait(20).state
        connections.close_all()
        return state

    with ThreadPoolExecutor(30) as pool:
        waits = [pool.submit(wait, n) for n in range(30)]
        until_waiting(result.id, 30)
        assert len(threads()) == 1
        end_one(result)
        assert {found.result() for found in waits} == {JobState.SUCCESSFUL}


def until_waiting(identifier: str, count: int) -> None:
    watch = get_watcher("default")
    pause = threading.Event()
    for _ in range(1000):
        if any(len(watched.tells) == count for watched in list(watch._watched.values())):
            return
        pause.wait(0.01)
    raise AssertionError("Not all wait.")


def test_a_job_that_is_pruned_meanwhile_ends_the_wait():
    result = add.enqueue(1)

    def prune() -> None:
        Job.objects.all().delete()
        connections.close_all()

    thread = soon(prune)

    with pytest.raises((TaskResultExpired, TaskResultDoesNotExist)):
        result.wait(20)
    thread.join()


def test_the_thread_ends_when_nobody_waits_and_starts_again(watch):
    for _ in range(2):
        with pytest.raises(TimeoutError):
            add.using(run_after=timedelta(hours=1)).enqueue(1).wait(0.05)
        watch.stop()
        assert not threads()


def test_a_wait_goes_on_when_what_watches_broke(watch, monkeypatch, caplog):
    look, broken = watch._look, threading.Event()

    def fail_once() -> None:
        monkeypatch.setattr(watch, "_look", look)
        broken.set()
        raise RuntimeError("broken")

    result = add.enqueue(1)
    monkeypatch.setattr(watch, "_look", fail_once)
    waiter = threading.Thread(target=watch.wait, args=(UUID(result.id), None), daemon=True)
    waiter.start()
    assert broken.wait(20)
    end_one(result)

    waiter.join(20)
    assert not waiter.is_alive()
    assert "RuntimeError: broken" in caplog.text


def test_what_watches_ends_although_it_breaks_at_each_look(watch, monkeypatch):
    def fail() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(watch, "_look", fail)
    with pytest.raises(TimeoutError):
        add.enqueue(1).wait(0.05)
    watch.stop()

    assert not threads()


def test_following_never_waits_for_the_thread(watch, monkeypatch):
    let_go = threading.Event()
    monkeypatch.setattr(watch, "_look", let_go.wait)
    job, told = UUID(add.enqueue(1).id), threading.Event()

    for _ in range(100_000):
        watch.subscribe({job: 0}, told.set)

    let_go.set()
    watch.unsubscribe([job], told.set)


def test_waiting_works_with_more_than_1024_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("too few files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        watch = Watcher("default")  # its pipe has descriptors above 1024
        result = add.enqueue(1)
        end_one(result)
        assert watch.wait(UUID(result.id), 20)
        watch.stop()
        os.close(watch._news)
        os.close(watch._bell)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
