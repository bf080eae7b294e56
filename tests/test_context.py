"""current_job(), progress() and track(), in a task and outside of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from offload import JobState, OffloadError, current_job, is_cancelled, progress, track
from offload.context import CurrentJob, enter_job
from offload.models import Job
from offload.owners import owner_of_user
from offload.progress import ProgressReporter
from tests.tasks import add

A_JOB = CurrentJob(
    id="id",
    task_path="tests.tasks.add",
    queue_name="default",
    attempt=1,
    max_attempts=1,
    enqueued_at=datetime(2026, 12, 1, 3, tzinfo=UTC),
    started_at=datetime(2026, 12, 1, 4, tzinfo=UTC),
    owner="",
    tenant="",
    request_id="",
    is_cancelled=bool,
    scheduled_for=None,
)


class Recorder:
    """An attempt that records the progress reported to it."""

    def __init__(self) -> None:
        self.reporter: ProgressReporter | None = None
        self.is_cancelled = bool
        self.reports: list[Any] = []

    def current_job(self) -> CurrentJob:
        return replace(A_JOB, is_cancelled=self.is_cancelled)

    def open_reporter(self) -> ProgressReporter:
        self.reporter = ProgressReporter(("id", 1), self._record)
        return self.reporter

    def run(self, function: Any) -> list[Any]:
        """Call a function in a context of this attempt; return its progress reports."""

        def call() -> None:
            enter_job(self)
            function()

        copy_context().run(call)
        return self.reports

    def _record(self, reporter: ProgressReporter) -> None:
        self.reports.append(reporter.latest)
        reporter.is_changed = False  # so that each change is announced


def in_task(function: Any) -> list[Any]:
    return Recorder().run(function)


# --- outside a task -----------------------------------------------------------------------


def test_outside_a_task_there_is_no_current_job():
    with pytest.raises(OffloadError, match="outside a running task"):
        current_job()
    assert not is_cancelled()


def test_outside_a_task_progress_only_validates():
    progress(1, 2, "Reading", step=(1, 2, "Import"))
    with pytest.raises(TypeError, match="done as a number"):
        progress("1", 2)  # type: ignore[arg-type]


def test_outside_a_task_track_only_iterates():
    assert list(track(iter("abc"), "Reading")) == ["a", "b", "c"]


# --- inside -------------------------------------------------------------------------------


def test_each_call_replaces_all_values():
    def task() -> None:
        progress(1, 4, "Reading", step=(1, 2, "Import"))
        progress(2)

    assert in_task(task) == [(1, 4, "Reading", (1, 2, "Import")), (2, None, "", None)]


def test_progress_may_be_reported_from_any_depth_thread_or_asyncio_task():
    async def deep() -> None:
        await asyncio.to_thread(progress, 2)
        await asyncio.create_task(deeper())

    async def deeper() -> None:
        progress(3)

    def task() -> None:
        progress(1)
        asyncio.run(deep())

    assert [done for done, *_ in in_task(task)] == [1, 2, 3]


# --- the job ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_task_gets_the_user_who_owns_its_job():
    user = User.objects.create_user("ann")

    assert replace(A_JOB, owner=owner_of_user(user)).get_user() == user


@pytest.mark.django_db(transaction=True)
def test_an_async_task_gets_the_user_who_owns_its_job():
    user = User.objects.create_user("ann")

    async def task() -> User:
        found: User = await replace(A_JOB, owner=owner_of_user(user)).aget_user()
        await sync_to_async(connections.close_all)()
        return found

    assert asyncio.run(task()) == user


# --- track --------------------------------------------------------------------------------


def generate(count: int) -> Iterator[int]:
    yield from range(count)


async def agenerate(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize(
    ("rows", "total", "shown"),
    [
        (["a", "b"], None, [(0, None), (0, 2), (1, 2), (2, 2)]),
        ([], None, [(0, None)]),
        (generate(2), None, [(0, None), (0, None), (1, None), (2, None)]),
        (generate(2), 2, [(0, 2), (0, 2), (1, 2), (2, 2)]),
        ({"a": 1}, 10, [(0, 10), (0, 10), (1, 10)]),
    ],
    ids=["list", "empty", "generator", "generator with total", "total before length"],
)
def test_track_reports_progress_after_each_row(rows, total, shown):
    reports = in_task(lambda: list(track(rows, "Reading", total=total, step=(1, 2))))

    assert [report[:2] for report in reports] == shown
    assert {report[2:] for report in reports} == {("Reading", (1, 2, ""))}


def test_track_counts_a_row_after_its_work():
    recorder = Recorder()

    def task() -> None:
        for row in track("abc"):
            if row == "c":
                break

    assert recorder.run(task)[-1][:2] == (2, 3)


def test_track_iterates_asynchronously():
    async def iterate() -> None:
        assert [row async for row in track(agenerate(2), "Reading", total=2)] == [0, 1]

    assert [report[:2] for report in in_task(lambda: asyncio.run(iterate()))][-1] == (2, 2)


def test_track_is_lazy_and_can_be_iterated_again():
    rows = [1]
    tracked = track(rows)
    rows.append(2)

    assert list(tracked) == list(tracked) == [1, 2]


@pytest.mark.django_db
def test_track_takes_the_length_of_a_queryset_without_a_query(
    django_assert_num_queries,
):
    add.enqueue_many([((n,), {}) for n in range(3)])
    ready = Job.objects.filter(state=JobState.READY)

    with django_assert_num_queries(1):
        reports = in_task(lambda: list(track(ready)))
    assert reports[-1][:2] == (3, 3)

    with django_assert_num_queries(1):
        reports = in_task(lambda: list(track(ready.iterator())))
    assert reports[-1][:2] == (3, None)


@pytest.mark.django_db(transaction=True)
def test_track_takes_the_length_of_a_queryset_in_async_code():
    add.enqueue_many([((n,), {}) for n in range(3)])

    async def iterate() -> None:
        assert len([row async for row in track(Job.objects.all())]) == 3
        await sync_to_async(connections.close_all)()

    assert in_task(lambda: asyncio.run(iterate()))[-1][:2] == (3, 3)
