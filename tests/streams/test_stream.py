"""What one page is told, whatever carries it there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Self
from uuid import UUID

import pytest
from django.db import connections

from offload.lifecycle import JobState
from offload.models import Job
from offload.store.records import JobSnapshot
from offload.streams.snapshots import RenderContext, RenderedSnapshot
from offload.streams.stream import Message, Stream
from offload.streams.subscription import Subscription
from offload.uuid7 import new_id
from offload.watching.watcher import get_watcher
from tests.live import tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("watched")]

GRANTS = frozenset({"status"})
HOUR = 3600.0
PATIENCE = 20.0


def snapshot(job: Job, version: int = 0, state: JobState = JobState.RUNNING) -> RenderedSnapshot:
    """Return a job as if it had been seen later."""
    seen = Job.objects.get(pk=job.pk)
    seen.version, seen.state = version, state
    return RenderedSnapshot(JobSnapshot(job.pk, seen))


@pytest.fixture
def job() -> Job:
    return Job.objects.get(pk=tasks.private.enqueue().id)


def subscription(
    *snapshots: RenderedSnapshot, known: dict[UUID, int] | None = None, missing: Any = ()
) -> Subscription:
    return Subscription(
        jobs={each.id: (each, GRANTS) for each in snapshots},
        known=known or {},
        missing=missing,
        context=RenderContext("en", "/", None),
    )


class Page:
    """Reads a stream, one message at a time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._messages = stream.messages()

    def __enter__(self) -> Self:
        self.stream.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.__exit__()

    async def next(self) -> Message:
        return await asyncio.wait_for(anext(self._messages), PATIENCE)

    async def nothing(self) -> None:
        """Assert that nothing is to be told, however often the stream looks."""
        for _ in range(10):
            await asyncio.sleep(0)
            assert self.stream._next_message() is None

    async def rest(self) -> list[Message]:
        return [message async for message in self._messages]


def read(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(body())  # type: ignore[arg-type]


def test_a_snapshot_comes_first_and_then_whole_states(job):
    queued, running = snapshot(job, 0, JobState.READY), snapshot(job, 1)

    async def body() -> None:
        with Page(Stream(subscription(queued, missing=["x"]))) as page:
            first = await page.next()
            page.stream.put(running)
            second = await page.next()
            page.stream.abort()
            assert await page.rest() == []

            assert first[:2] == ("snapshot", f"{job.pk}.0")
            assert json.loads(first.data)["missing"] == ["x"]
            assert [item["phase"] for item in json.loads(first.data)["items"]] == ["queued"]
            assert second[:2] == ("update", f"{job.pk}.1")
            assert json.loads(second.data)["phase"] == "running"

    read(body)


def test_what_the_page_knows_is_not_told_again(job):
    other = Job.objects.get(pk=tasks.private.enqueue().id)
    snapshots = snapshot(job, 7), snapshot(other, 7)

    async def body() -> None:
        with Page(Stream(subscription(*snapshots, known={job.pk: 7, other.pk: 6}))) as page:
            first = await page.next()
            page.stream.abort()

            assert [item["id"] for item in json.loads(first.data)["items"]] == [str(other.pk)]
            assert first.id == f"{job.pk}.7,{other.pk}.7"

    read(body)


def test_changes_are_coalesced_and_the_end_comes_at_once(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    snapshots = [snapshot(job, version) for version in range(1, 101)]
    ended = snapshot(job, 101, JobState.SUCCESSFUL)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            for each in snapshots[:50]:
                page.stream.put(each)
            assert (await page.next()).id == f"{job.pk}.50"
            for each in snapshots[50:]:
                page.stream.put(each)
            await page.nothing()
            page.stream.put(ended)
            last, end = await page.rest()
            assert last.id == f"{job.pk}.101"
            assert end == Message("close", data='{"reason":"finished"}')

    before = snapshot(job, 0)
    read(body)


def test_one_busy_job_does_not_hold_up_another(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    other = Job.objects.get(pk=tasks.private.enqueue().id)
    mine, its = [snapshot(job, version) for version in range(3)], snapshot(other, 1)
    before = snapshot(other, 0)

    async def body() -> None:
        with Page(Stream(subscription(mine[0], before))) as page:
            await page.next()
            page.stream.put(mine[1])
            await page.next()
            page.stream.put(mine[2])
            page.stream.put(its)

            assert (await page.next()).id == f"{job.pk}.1,{other.pk}.1"
            page.stream.abort()

    read(body)


def test_a_change_that_had_to_wait_comes_when_it_may(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", 0.05)
    snapshots = [snapshot(job, version) for version in range(3)]

    async def body() -> None:
        with Page(Stream(subscription(snapshots[0]))) as page:
            await page.next()
            page.stream.put(snapshots[1])
            await page.next()
            page.stream.put(snapshots[2])
            assert (await page.next()).id == f"{job.pk}.2"
            page.stream.abort()

    read(body)


def test_jobs_that_change_all_the_time_are_told_together(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    others = [Job.objects.get(pk=tasks.private.enqueue().id) for _ in range(3)]
    snapshots = {
        each.pk: [snapshot(each, version) for version in range(3)] for each in [job, *others]
    }

    async def body() -> None:
        stream = Stream(subscription(*(before for before, _, _ in snapshots.values())))
        with Page(stream) as page:
            await page.next()
            for pk, (_, first, _) in snapshots.items():
                stream.put(first)
                assert str(pk) in (await page.next()).data
            reading = asyncio.create_task(page.next())
            for _ in range(10):
                await asyncio.sleep(0)
            for _, _, second in snapshots.values():
                stream.put(second)
                assert not stream._wakeup.is_set()
            assert len({subscribed.due_at for subscribed in stream._jobs.values()}) == 1
            stream.abort()
            with pytest.raises(StopAsyncIteration):
                await reading

    read(body)


def test_a_tick_that_comes_late_does_not_cost_the_next_one(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    before, after = snapshot(job), snapshot(job, 1)

    async def body() -> None:
        with Stream(subscription(before)) as stream:
            subscribed = stream._jobs[job.pk]
            subscribed.sent_at = stream._opened_at + 1.1 * HOUR
            stream.put(after)
            assert subscribed.due_at == stream._opened_at + 2 * HOUR

    read(body)


def test_what_is_due_is_sent_together_but_not_more_than_a_page_takes_at_once(job, monkeypatch):
    others = [Job.objects.get(pk=tasks.private.enqueue().id) for _ in range(3)]
    before = [snapshot(each) for each in [job, *others]]
    first, second = ([snapshot(each, version) for each in [job, *others]] for version in (1, 2))

    async def body() -> None:
        with Stream(subscription(*before)) as stream:
            batches = stream.batches()
            assert [message.event for message in await anext(batches)] == ["snapshot"]
            for each in first:
                stream.put(each)
            assert [message.event for message in await anext(batches)] == ["update"] * 4

            monkeypatch.setattr("offload.streams.stream.MAX_BATCH_CHARS", 1)
            for each in second:
                stream.put(each)
            for _ in second:
                batch = await asyncio.wait_for(anext(batches), PATIENCE)
                assert [message.event for message in batch] == ["update"]

    read(body)


def test_of_what_was_told_nothing_is_kept(job):
    told = subscription(snapshot(job), known={job.pk: 0}, missing=["x"])

    async def body() -> None:
        with Page(Stream(told)) as page:
            await page.next()
            page.stream.abort()

    read(body)
    assert (told.jobs, told.known, told.missing) == ({}, {}, ())


@pytest.mark.parametrize("late", [3, 5])
def test_versions_never_go_back(job, late):
    before, after, again = snapshot(job, 4), snapshot(job, 5), snapshot(job, late)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            page.stream.put(after)
            page.stream.put(again)
            assert (await page.next()).id == f"{job.pk}.5"
            page.stream.put(again)
            assert page.stream._pending == {}
            page.stream.abort()

    read(body)


def test_of_a_page_that_reads_slowly_only_the_newest_states_are_kept(job):
    other = Job.objects.get(pk=tasks.private.enqueue().id)
    mine, its = snapshot(job), snapshot(other)
    many = [snapshot(job, version) for version in range(1, 200)]

    async def body() -> None:
        with Page(Stream(subscription(mine, its))) as page:
            for each in many:
                page.stream.put(each)
            assert page.stream._pending == {job.pk: many[-1]}
            page.stream.abort()

    read(body)


def test_a_job_that_is_gone_is_told_as_missing_and_the_stream_ends(job):
    before = snapshot(job)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            page.stream.put(RenderedSnapshot(JobSnapshot(job.pk, None)))
            gone, end = await page.rest()

            assert (gone.event, gone.id) == ("snapshot", "")
            assert json.loads(gone.data) == {"items": [], "missing": [str(job.pk)]}
            assert json.loads(end.data) == {"reason": "finished"}

    read(body)


def test_a_stream_of_jobs_that_have_ended_is_a_snapshot_and_an_end(job):
    ended = snapshot(job, 3, JobState.SUCCESSFUL)

    async def body() -> None:
        with Page(Stream(subscription(ended))) as page:
            messages = await page.rest()

        assert [message.event for message in messages] == ["snapshot", "close"]

    read(body)


@pytest.mark.parametrize("reason", ["lifetime", "shutdown"])
def test_a_stream_ends_and_lets_the_page_come_back(job, reason):
    before = snapshot(job)

    async def body() -> None:
        stream = Stream(subscription(before), lifetime=0 if reason == "lifetime" else None)
        if reason == "shutdown":
            stream.close("shutdown")
        with Page(stream) as page:
            messages = await page.rest()

        assert [message.event for message in messages] == ["snapshot", "close"]
        assert json.loads(messages[-1].data) == {"reason": reason}

    read(body)


def test_streams_do_not_all_end_at_the_same_moment():
    async def body() -> None:
        now = asyncio.get_running_loop().time()
        lifetimes = {round(Stream()._expires_at - now, 6) for _ in range(20)}

        assert len(lifetimes) == 20
        assert 43 < min(lifetimes) <= max(lifetimes) < 67

    read(body)


def test_silence_is_broken_by_a_ping(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.PING_INTERVAL", 0.01)
    before = snapshot(job)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            assert await page.next() == Message("ping")
            page.stream.abort()

    read(body)


def test_nothing_is_held_when_the_reader_is_gone(job):
    before = snapshot(job)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            watched = get_watcher("default")._watched
            assert set(watched) == {job.pk}
            page.stream.abort()
            assert await page.rest() == []
        assert not watched

    read(body)


def test_a_stream_has_no_connection_of_its_own_not_even_a_closed_one(job):
    before, after = snapshot(job), snapshot(job, 1)

    async def body() -> None:
        with Page(Stream(subscription(before))) as page:
            await page.next()
            page.stream.put(after)
            await page.next()
            assert connections.all(initialized_only=True) == []
            page.stream.abort()

    read(body)


def test_a_stream_may_follow_more_and_less(job):
    other = Job.objects.get(pk=tasks.private.enqueue().id)
    mine, its = snapshot(job), snapshot(other)

    async def body() -> None:
        with Page(Stream(subscription(mine))) as page:
            await page.next()
            page.stream.subscribe(subscription(its, missing=["x"]))
            second = await page.next()
            assert second.id == f"{job.pk}.0,{other.pk}.0"
            assert [item["id"] for item in json.loads(second.data)["items"]] == [str(other.pk)]

            page.stream.unsubscribe([job.pk, new_id()])
            assert page.stream.ids == {other.pk}
            page.stream.unsubscribe([other.pk])
            (end,) = await page.rest()
            assert json.loads(end.data) == {"reason": "finished"}

    read(body)


def test_control_characters_of_a_message_stay_in_one_line(job):
    Job.objects.filter(pk=job.pk).update(
        progress=json.dumps({"message": "a\r\n\r\nevent: close\n\n"})
    )
    told = snapshot(job, 1)

    async def body() -> None:
        with Page(Stream(subscription(told))) as page:
            message = await page.next()
            page.stream.abort()

            assert not {"\r", "\n"} & set(message.data)

    read(body)
