"""The messages of a stream: their order, pace and content."""

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
from offload.streams.stream import Stream, StreamMessage
from offload.streams.subscription import Subscription
from offload.uuid7 import new_id
from offload.watching.watcher import get_watcher
from tests.live import tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("watched")]

GRANTS = frozenset({"status"})
HOUR = 3600.0
TIMEOUT_SECONDS = 20.0
FINISHED = StreamMessage("close", data='{"reason":"finished"}')


def make_job() -> Job:
    return Job.objects.get(pk=tasks.private.enqueue().id)


@pytest.fixture
def job() -> Job:
    return make_job()


def snapshot_of(job: Job, version: int = 0, state: JobState = JobState.RUNNING) -> RenderedSnapshot:
    """Return a snapshot of a job with another version and state."""
    row = Job.objects.get(pk=job.pk)
    row.version, row.state = version, state
    return RenderedSnapshot(JobSnapshot(job.pk, row))


def subscription_to(
    *snapshots: RenderedSnapshot, known: dict[UUID, int] | None = None, missing: Any = ()
) -> Subscription:
    return Subscription(
        jobs={snapshot.id: (snapshot, GRANTS) for snapshot in snapshots},
        known=known or {},
        missing=missing,
        context=RenderContext("en", "/", None),
    )


class Client:
    """Reads a stream, one message at a time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._messages = stream.messages()

    def __enter__(self) -> Self:
        self.stream.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.__exit__()

    async def read(self) -> StreamMessage:
        return await asyncio.wait_for(anext(self._messages), TIMEOUT_SECONDS)

    async def read_nothing(self) -> None:
        """Assert that no message is due."""
        for _ in range(10):
            await asyncio.sleep(0)
            assert self.stream._next_message() is None

    async def read_all(self) -> list[StreamMessage]:
        return [message async for message in self._messages]


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


# --- messages -----------------------------------------------------------------------------------


def test_a_snapshot_is_followed_by_whole_states(job):
    queued, running = snapshot_of(job, 0, JobState.READY), snapshot_of(job, 1)

    async def scenario() -> None:
        with Client(Stream(subscription_to(queued, missing=["x"]))) as client:
            first = await client.read()
            client.stream.put(running)
            second = await client.read()
            client.stream.abort()
            assert await client.read_all() == []

            assert first[:2] == ("snapshot", f"{job.pk}.0")
            assert json.loads(first.data)["missing"] == ["x"]
            assert [item["phase"] for item in json.loads(first.data)["items"]] == ["queued"]
            assert second[:2] == ("update", f"{job.pk}.1")
            assert json.loads(second.data)["phase"] == "running"

    run(scenario)


def test_known_versions_are_not_sent(job):
    other = make_job()
    snapshots = snapshot_of(job, 7), snapshot_of(other, 7)

    async def scenario() -> None:
        subscription = subscription_to(*snapshots, known={job.pk: 7, other.pk: 6})
        with Client(Stream(subscription)) as client:
            first = await client.read()
            client.stream.abort()

            assert [item["id"] for item in json.loads(first.data)["items"]] == [str(other.pk)]
            assert first.id == f"{job.pk}.7,{other.pk}.7"

    run(scenario)


@pytest.mark.parametrize("late", [3, 5])
def test_an_older_version_is_never_sent(job, late):
    before, after, again = snapshot_of(job, 4), snapshot_of(job, 5), snapshot_of(job, late)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            client.stream.put(after)
            client.stream.put(again)
            assert (await client.read()).id == f"{job.pk}.5"
            client.stream.put(again)
            assert client.stream._pending == {}
            client.stream.abort()

    run(scenario)


def test_a_deleted_job_is_missing_and_the_stream_closes(job):
    before = snapshot_of(job)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            client.stream.put(RenderedSnapshot(JobSnapshot(job.pk, None)))
            deleted, close = await client.read_all()

            assert (deleted.event, deleted.id) == ("snapshot", "")
            assert json.loads(deleted.data) == {"items": [], "missing": [str(job.pk)]}
            assert close == FINISHED

    run(scenario)


def test_control_characters_of_a_message_stay_in_one_line(job):
    Job.objects.filter(pk=job.pk).update(
        progress=json.dumps({"message": "a\r\n\r\nevent: close\n\n"})
    )
    snapshot = snapshot_of(job, 1)

    async def scenario() -> None:
        with Client(Stream(subscription_to(snapshot))) as client:
            message = await client.read()
            client.stream.abort()

            assert not {"\r", "\n"} & set(message.data)

    run(scenario)


def test_a_ping_is_sent_without_other_messages(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.PING_INTERVAL", 0.01)
    before = snapshot_of(job)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            assert await client.read() == StreamMessage("ping")
            client.stream.abort()

    run(scenario)


# --- pace ---------------------------------------------------------------------------------------


def test_changes_are_coalesced_and_the_final_state_is_sent_at_once(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    before = snapshot_of(job, 0)
    changes = [snapshot_of(job, version) for version in range(1, 101)]
    finished = snapshot_of(job, 101, JobState.SUCCESSFUL)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            for change in changes[:50]:
                client.stream.put(change)
            assert (await client.read()).id == f"{job.pk}.50"
            for change in changes[50:]:
                client.stream.put(change)
            await client.read_nothing()
            client.stream.put(finished)
            last, close = await client.read_all()
            assert last.id == f"{job.pk}.101"
            assert close == FINISHED

    run(scenario)


def test_a_busy_job_does_not_delay_another(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    other = make_job()
    busy = [snapshot_of(job, version) for version in range(3)]
    before, after = snapshot_of(other, 0), snapshot_of(other, 1)

    async def scenario() -> None:
        with Client(Stream(subscription_to(busy[0], before))) as client:
            await client.read()
            client.stream.put(busy[1])
            await client.read()
            client.stream.put(busy[2])
            client.stream.put(after)

            assert (await client.read()).id == f"{job.pk}.1,{other.pk}.1"
            client.stream.abort()

    run(scenario)


def test_a_delayed_change_is_sent_when_it_is_due(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", 0.05)
    snapshots = [snapshot_of(job, version) for version in range(3)]

    async def scenario() -> None:
        with Client(Stream(subscription_to(snapshots[0]))) as client:
            await client.read()
            client.stream.put(snapshots[1])
            await client.read()
            client.stream.put(snapshots[2])
            assert (await client.read()).id == f"{job.pk}.2"
            client.stream.abort()

    run(scenario)


def test_jobs_that_change_all_the_time_are_sent_together(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    jobs = [job, *(make_job() for _ in range(3))]
    snapshots = {job.pk: [snapshot_of(job, version) for version in range(3)] for job in jobs}

    async def scenario() -> None:
        stream = Stream(subscription_to(*(before for before, _, _ in snapshots.values())))
        with Client(stream) as client:
            await client.read()
            for pk, (_, first, _) in snapshots.items():
                stream.put(first)
                assert str(pk) in (await client.read()).data
            reading = asyncio.create_task(client.read())
            for _ in range(10):
                await asyncio.sleep(0)
            for _, _, second in snapshots.values():
                stream.put(second)
                assert not stream._wakeup.is_set()
            assert len({job.due_at for job in stream._jobs.values()}) == 1
            stream.abort()
            with pytest.raises(StopAsyncIteration):
                await reading

    run(scenario)


def test_a_late_tick_does_not_skip_the_next_one(job, monkeypatch):
    monkeypatch.setattr("offload.streams.stream.UPDATE_INTERVAL", HOUR)
    before, after = snapshot_of(job), snapshot_of(job, 1)

    async def scenario() -> None:
        with Stream(subscription_to(before)) as stream:
            subscribed = stream._jobs[job.pk]
            subscribed.sent_at = stream._opened_at + 1.1 * HOUR
            stream.put(after)
            assert subscribed.due_at == stream._opened_at + 2 * HOUR

    run(scenario)


def test_due_messages_are_one_batch_of_limited_size(job, monkeypatch):
    jobs = [job, *(make_job() for _ in range(3))]
    before, first, second = ([snapshot_of(job, version) for job in jobs] for version in range(3))

    async def scenario() -> None:
        with Stream(subscription_to(*before)) as stream:
            batches = stream.batches()
            assert [message.event for message in await anext(batches)] == ["snapshot"]
            for snapshot in first:
                stream.put(snapshot)
            assert [message.event for message in await anext(batches)] == ["update"] * 4

            monkeypatch.setattr("offload.streams.stream.MAX_BATCH_CHARS", 1)
            for snapshot in second:
                stream.put(snapshot)
            for _ in second:
                batch = await asyncio.wait_for(anext(batches), TIMEOUT_SECONDS)
                assert [message.event for message in batch] == ["update"]

    run(scenario)


# --- memory and connections ---------------------------------------------------------------------


def test_states_that_were_sent_are_dropped(job):
    subscription = subscription_to(snapshot_of(job), known={job.pk: 0}, missing=["x"])

    async def scenario() -> None:
        with Client(Stream(subscription)) as client:
            await client.read()
            client.stream.abort()

    run(scenario)
    assert (subscription.jobs, subscription.known, subscription.missing) == ({}, {}, ())


def test_for_a_slow_client_only_the_newest_states_are_kept(job):
    other = make_job()
    before = snapshot_of(job), snapshot_of(other)
    changes = [snapshot_of(job, version) for version in range(1, 200)]

    async def scenario() -> None:
        with Client(Stream(subscription_to(*before))) as client:
            for change in changes:
                client.stream.put(change)
            assert client.stream._pending == {job.pk: changes[-1]}
            client.stream.abort()

    run(scenario)


def test_after_a_disconnect_no_job_is_watched(job):
    before = snapshot_of(job)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            watched = get_watcher("default")._watched
            assert set(watched) == {job.pk}
            client.stream.abort()
            assert await client.read_all() == []
        assert not watched

    run(scenario)


def test_a_stream_has_no_database_connection_not_even_a_closed_one(job):
    before, after = snapshot_of(job), snapshot_of(job, 1)

    async def scenario() -> None:
        with Client(Stream(subscription_to(before))) as client:
            await client.read()
            client.stream.put(after)
            await client.read()
            assert connections.all(initialized_only=True) == []
            client.stream.abort()

    run(scenario)


# --- subscribing and closing --------------------------------------------------------------------


def test_jobs_can_be_added_and_removed(job):
    other = make_job()
    first, second = snapshot_of(job), snapshot_of(other)

    async def scenario() -> None:
        with Client(Stream(subscription_to(first))) as client:
            await client.read()
            client.stream.subscribe(subscription_to(second, missing=["x"]))
            message = await client.read()
            assert message.id == f"{job.pk}.0,{other.pk}.0"
            assert [item["id"] for item in json.loads(message.data)["items"]] == [str(other.pk)]

            client.stream.unsubscribe([job.pk, new_id()])
            assert client.stream.ids == {other.pk}
            client.stream.unsubscribe([other.pk])
            assert await client.read_all() == [FINISHED]

    run(scenario)


def test_a_stream_of_finished_jobs_is_a_snapshot_and_a_close(job):
    finished = snapshot_of(job, 3, JobState.SUCCESSFUL)

    async def scenario() -> None:
        with Client(Stream(subscription_to(finished))) as client:
            messages = await client.read_all()

        assert [message.event for message in messages] == ["snapshot", "close"]

    run(scenario)


@pytest.mark.parametrize("reason", ["lifetime", "shutdown"])
def test_a_stream_closes_with_a_reason_to_reconnect(job, reason):
    before = snapshot_of(job)

    async def scenario() -> None:
        lifetime = 0 if reason == "lifetime" else None
        stream = Stream(subscription_to(before), lifetime=lifetime)
        if reason == "shutdown":
            stream.close("shutdown")
        with Client(stream) as client:
            messages = await client.read_all()

        assert [message.event for message in messages] == ["snapshot", "close"]
        assert json.loads(messages[-1].data) == {"reason": reason}

    run(scenario)


def test_lifetimes_are_spread():
    async def scenario() -> None:
        now = asyncio.get_running_loop().time()
        lifetimes = {round(Stream()._expires_at - now, 6) for _ in range(20)}

        assert len(lifetimes) == 20
        assert 43 < min(lifetimes) <= max(lifetimes) < 67

    run(scenario)
