"""Sync code of async jobs: a thread for each job, whose connections no other job shares."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.tasks.signals import task_finished

from offload import JobState
from offload.exceptions import JobTimeout
from offload.progress import OnProgress
from offload.store.records import ClaimedJob
from offload.worker.runners import async_threads as module
from offload.worker.runners.base import FinishReport, OnFinish, Runner
from offload.worker.runners.event_loop import EventLoopRunner
from offload.worker.runners.slot_table import SlotTable
from tests.models import Effect
from tests.worker import tasks
from tests.worker.conftest import until
from tests.worker.job_runs import claimed
from tests.worker.runners.harness import LIMIT, Harness
from tests.worker.runners.scenes import play, scenes

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("without_receivers"),
]

type Scene = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def persistent_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the connections of new threads open between jobs."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    yield
    scenes.clear()


@pytest.fixture
def start_loop(start: Callable[..., Harness]) -> Callable[[int], Harness]:
    """Start an event loop for 20 jobs, with a number of threads for their sync code."""

    def make(
        threads: int, count: int, on_finish: OnFinish, slots: SlotTable, on_progress: OnProgress
    ) -> Runner:
        return EventLoopRunner(count, threads, on_finish, slots, 0, on_progress)

    return lambda threads: start(partial(make, threads), slots=20)


def job_of(scene: Scene, *arguments: Any, **changes: Any) -> ClaimedJob:
    scenes.append(scene)
    return claimed(play, len(scenes) - 1, *arguments, **changes)


def value(report: FinishReport) -> Any:
    assert report.outcome.state == JobState.SUCCESSFUL, report.outcome.failure
    return json.loads(report.outcome.return_value or "null")


def play_all(harness: Harness, *jobs: ClaimedJob) -> list[Any]:
    """Run jobs at once; return their values in the order of the jobs."""
    numbers = harness.submit(*jobs)
    reports = {report.number: report for report in (harness.report() for _ in jobs)}
    return [value(reports[number]) for number in numbers]


def play_one(harness: Harness, scene: Scene, *arguments: Any) -> Any:
    (only,) = play_all(harness, job_of(scene, *arguments))
    return only


ident = sync_to_async(threading.get_ident)


def living_threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("offload-async")}


async def reach(event: threading.Event) -> None:
    """Wait for an event of a thread without using one."""
    while not event.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


# --- a thread for each job ----------------------------------------------------------------------


def test_the_sync_calls_of_several_jobs_run_at_once(start_loop):
    meeting = threading.Barrier(6)

    async def meet() -> int:
        return await sync_to_async(meeting.wait)(LIMIT)

    assert sorted(play_all(start_loop(6), *[job_of(meet) for _ in range(6)])) == [*range(6)]


def test_the_calls_of_a_job_and_of_its_asyncio_tasks_run_in_one_thread_one_by_one(start_loop):
    running = threading.Lock()

    def call() -> int:
        assert running.acquire(blocking=False)  # unless another call runs
        threading.Event().wait(0.001)
        running.release()
        return threading.get_ident()

    async def spread() -> list[int]:
        calls = [asyncio.create_task(sync_to_async(call)()) for _ in range(5)]
        async with asyncio.TaskGroup() as group:
            calls += [group.create_task(sync_to_async(call)()) for _ in range(5)]
        return [await each for each in calls]

    assert len(set(play_one(start_loop(5), spread))) == 1


def test_async_jobs_without_sync_code_cost_no_thread(start_loop):
    before = living_threads()

    assert start_loop(5).run(tasks.aprocess_and_thread).outcome.state == JobState.SUCCESSFUL
    assert living_threads() == before


def test_code_around_the_task_uses_a_thread_too(start_loop):
    seen: list[int] = []

    def receive(**_: Any) -> None:
        seen.append(Effect.objects.count())

    task_finished.connect(receive)  # among the receivers that the fixture restores
    play_one(start_loop(1), ident)
    assert seen == [0]


def test_asyncio_tasks_that_outlive_their_job_find_a_thread(start_loop):
    may_count, counted = threading.Event(), threading.Event()
    kept: list[asyncio.Task[None]] = []

    async def count_later() -> None:
        await reach(may_count)
        await Effect.objects.acount()
        counted.set()

    async def leave_behind() -> None:
        kept.append(asyncio.create_task(count_later()))

    harness = start_loop(1)
    play_one(harness, leave_behind)
    may_count.set()

    assert counted.wait(LIMIT)
    assert play_one(harness, Effect.objects.acount) == 0


# --- connections --------------------------------------------------------------------------------


opened: list[Any] = []


def connection_number() -> int:
    """Return which of the connections this is that were ever used."""
    connection.ensure_connection()
    if connection.connection not in opened:
        opened.append(connection.connection)
    return opened.index(connection.connection)


def is_closed() -> bool:
    return connection.connection is None


def test_connections_stay_for_the_next_job(start_loop):
    harness = start_loop(1)
    first = play_one(harness, sync_to_async(connection_number))

    assert play_one(harness, sync_to_async(connection_number)) == first


def test_a_connection_past_its_age_is_closed_before_the_next_job_uses_it(start_loop):
    used: list[Any] = []

    def use() -> None:
        connection.ensure_connection()
        used.append(connections["default"])

    harness = start_loop(1)
    play_one(harness, sync_to_async(use))
    assert play_one(harness, sync_to_async(is_closed)) is False

    used[0].close_at = time.monotonic()

    assert play_one(harness, sync_to_async(is_closed)) is True


def test_the_transaction_of_a_job_is_shared_with_no_other_job(start_loop):
    async def write(name: str) -> None:
        block = transaction.atomic()
        await sync_to_async(block.__enter__)()
        await Effect.objects.acreate(token=name)
        await asyncio.sleep(0.001)
        assert await sync_to_async(lambda: connection.in_atomic_block)()
        error = ValueError("roll back") if name == "lost" else None
        await sync_to_async(block.__exit__)(type(error) if error else None, error, None)

    names = ["kept", "lost"] * 4
    play_all(start_loop(1), *[job_of(write, name) for name in names])

    assert [effect.token for effect in Effect.objects.all()] == ["kept"] * 4


def test_a_transaction_left_open_is_rolled_back(start_loop):
    async def leave_open() -> None:
        await sync_to_async(transaction.set_autocommit)(False)
        await Effect.objects.acreate(token="lost")

    harness = start_loop(1)
    play_one(harness, leave_open)

    assert play_one(harness, Effect.objects.acount) == 0


def test_a_stopped_runner_closes_the_connections_of_its_threads(start_loop):
    used: list[Any] = []

    def use() -> None:
        connection.ensure_connection()
        used.append(connections["default"])

    harness = start_loop(1)
    play_one(harness, sync_to_async(use))
    harness.runner.stop()

    until(lambda: used[0].connection is None)


# --- interrupted jobs ---------------------------------------------------------------------------


def test_the_thread_of_an_interrupted_job_is_free_once_its_call_has_ended(start_loop):
    entered, gate = threading.Event(), threading.Event()

    def block() -> None:
        transaction.set_autocommit(False)
        Effect.objects.count()
        entered.set()
        gate.wait(LIMIT)

    def state() -> list[bool]:
        return [gate.is_set(), connection.get_autocommit()]

    harness = start_loop(1)
    stuck = job_of(sync_to_async(block), timeout=600.0, max_attempts=1)
    harness.submit(stuck)
    assert entered.wait(LIMIT)
    harness.runner.interrupt(stuck.key, JobTimeout)
    assert harness.report().outcome.state == JobState.FAILED  # although its call goes on

    harness.submit(job_of(sync_to_async(state)))
    play_one(harness, partial(asyncio.sleep, 0))
    gate.set()

    assert value(harness.report()) == [True, True]


# --- more jobs than threads ---------------------------------------------------------------------


def test_jobs_wait_for_a_thread_in_their_order(start_loop):
    entered, gate = threading.Event(), threading.Event()
    order: list[int] = []

    def block() -> None:
        entered.set()
        gate.wait(LIMIT)

    harness = start_loop(1)
    harness.submit(job_of(sync_to_async(block)))
    assert entered.wait(LIMIT)
    waiting = [job_of(sync_to_async(order.append), number) for number in range(10)]
    harness.submit(*waiting)
    play_one(harness, partial(asyncio.sleep, 0))
    gate.set()

    for _ in range(11):
        value(harness.report())
    assert order == [*range(10)]


def test_a_job_that_makes_no_calls_gives_its_thread_to_one_that_waits(start_loop):
    counted, gate = threading.Event(), threading.Event()

    async def rest() -> list[int]:
        first = await sync_to_async(connection_number)()
        counted.set()
        await reach(gate)
        return [first, await sync_to_async(connection_number)()]

    async def follow() -> int:
        await reach(counted)
        other = await sync_to_async(connection_number)()
        gate.set()
        return other

    (first, last), other = play_all(start_loop(1), job_of(rest), job_of(follow))
    assert first != other  # which could else be part of the other's transaction
    assert last


def test_a_job_that_waits_for_a_busy_loop_keeps_its_thread(start_loop, monkeypatch):
    monkeypatch.setattr(module, "MAX_REST", 0.0)
    harness = start_loop(1)
    calling, may_return = threading.Event(), threading.Event()

    def call() -> int:
        calling.set()
        may_return.wait(LIMIT)
        return connection_number()

    async def count_twice() -> list[int]:
        return [await sync_to_async(call)(), await sync_to_async(connection_number)()]

    async def follow() -> int:
        await reach(calling)
        return await sync_to_async(connection_number)()

    async def hold_up_the_loop() -> None:
        threads = harness.runner._threads
        while not threads._waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        may_return.set()
        until(lambda: threads._resting)

    jobs = job_of(count_twice), job_of(follow), job_of(hold_up_the_loop)
    (first, last), other, _ = play_all(harness, *jobs)
    assert first == last == other


@pytest.mark.parametrize("holding", ["a transaction", "an open cursor"])
def test_a_job_keeps_the_thread_that_it_needs(start_loop, holding, monkeypatch):
    monkeypatch.setattr(module, "MAX_REST", 0.0)
    holds = threading.Event()
    order: list[str] = []
    harness = start_loop(1)

    async def hold_on(thread: int) -> None:
        holds.set()
        while not harness.runner._threads._waiting and "followed" not in order:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(20):  # each turn of the loop takes what it may take
            await asyncio.sleep(0)
        assert await ident() == thread
        order.append("held")

    async def hold() -> None:
        thread = await ident()
        if holding == "a transaction":
            block = transaction.atomic()
            await sync_to_async(block.__enter__)()
            await hold_on(thread)
            await sync_to_async(block.__exit__)(None, None, None)
        else:
            await Effect.objects.abulk_create([Effect(token="x") for _ in range(3)])
            async for _ in Effect.objects.aiterator(chunk_size=1):
                await hold_on(thread)

    async def follow() -> None:
        await reach(holds)
        await sync_to_async(order.append)("followed")

    play_all(harness, job_of(hold), job_of(follow))
    assert order == ["held"] * (1 if holding == "a transaction" else 3) + ["followed"]
