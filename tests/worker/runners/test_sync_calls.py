"""What a call of sync code costs an async job: how often threads and the event loop wake up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from offload import JobState
from offload.progress import OnProgress
from offload.worker.runners import async_threads
from offload.worker.runners.base import OnFinish, Runner
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.slot_table import SlotTable
from offload.worker.runners.sync_calls import FinishedCalls, SyncCall
from tests.worker.conftest import until
from tests.worker.runners.harness import Harness
from tests.worker.runners.scenes import play, scenes

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("without_receivers"),
]

JOBS = 10


@pytest.fixture(autouse=True)
def persistent_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the connections of new threads open between jobs."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    yield
    scenes.clear()


@pytest.fixture
def harness(start: Callable[..., Harness]) -> Harness:
    """Start an event loop with one thread for sync code."""

    def make(count: int, on_finish: OnFinish, slots: SlotTable, on_progress: OnProgress) -> Runner:
        return EventLoopRunner(count, 1, on_finish, slots, 0, on_progress)

    return start(make, slots=JOBS)


def run(harness: Harness, scene: Callable[..., Any]) -> None:
    scenes.append(scene)
    outcome = harness.run(play, len(scenes) - 1).outcome
    assert outcome.state == JobState.SUCCESSFUL, outcome.failure


def test_calls_that_finish_while_the_loop_is_busy_wake_it_once(monkeypatch):
    wakeups: list[Any] = []

    async def hold_the_loop() -> list[int]:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: wakeups.append(wake(*args)))
        finished = FinishedCalls(loop)

        def finish() -> list[asyncio.Future[Any]]:
            calls = [SyncCall(partial(int, number)) for number in range(JOBS)]
            for call in calls:
                call.run()
            threads = [threading.Thread(target=finished.add, args=(call,)) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return [call.future for call in calls]

        first, second = finish(), await asyncio.gather(*finish())
        return await asyncio.gather(*first) + second

    assert asyncio.run(hold_the_loop()) == [*range(JOBS)] * 2
    assert len(wakeups) == 1


def test_a_call_that_was_cancelled_does_not_run():
    async def cancel() -> list[str]:
        ran: list[str] = []
        finished = FinishedCalls(asyncio.get_running_loop())
        for name in ("before", "after"):
            call = SyncCall(partial(ran.append, name))
            if name == "before":
                call.future.cancel()
            call.run()
            call.future.cancel()
            finished.add(call)
        await asyncio.sleep(0)
        return ran

    assert asyncio.run(cancel()) == ["after"]


def test_the_error_of_a_call_reaches_the_job(harness):
    async def fail() -> None:
        with pytest.raises(ValueError, match="of the call"):
            await sync_to_async(raise_error)()

    def raise_error() -> None:
        raise ValueError("of the call")

    run(harness, fail)


def test_an_event_loop_that_a_job_runs_in_its_own_thread_gets_results(harness):
    async def run_another() -> None:
        ident = sync_to_async(threading.get_ident)

        async def both() -> set[int]:
            return {await ident(), await ident()}

        assert await asyncio.to_thread(asyncio.run, both()) == {await ident()}

    run(harness, run_another)


def test_a_job_with_one_call_wakes_a_thread_once(harness, monkeypatch):
    wakeups: list[Any] = []

    class CountingQueue(SimpleQueue):  # type: ignore[type-arg]
        def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:
            wakeups.append(item)
            super().put(item, block, timeout)

    monkeypatch.setattr(async_threads, "SimpleQueue", CountingQueue)

    def connect() -> None:
        connection.ensure_connection()  # of the thread that calls this

    for _ in range(JOBS):
        run(harness, sync_to_async(connect))

    assert len(wakeups) == JOBS


@pytest.mark.parametrize("leftover", ["old", "in a transaction"])
def test_a_connection_that_must_not_stay_is_closed_at_the_end_of_its_job(harness, leftover):
    used: list[Any] = []

    def use() -> None:
        connection.ensure_connection()
        used.append(connections["default"])
        if leftover == "old":
            connection.close_at = time.monotonic()
        else:
            transaction.set_autocommit(False)

    async def rest() -> None:
        await sync_to_async(use)()
        await asyncio.sleep(0.001)

    run(harness, rest)

    until(lambda: used[0].connection is None)
