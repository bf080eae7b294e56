"""A stream: the messages for one client, over any transport.

The first message is a snapshot. Then follow the whole state of each job that changes, and at last
the reason why the stream closes. A job is sent at most four times a second, and at once when it
finishes. Jobs that change all the time are sent together, so that the page wakes four times a
second for any number of jobs. For a slow client only the newest state of each job is kept.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

from offload.live.open_connections import open_connections
from offload.streams.hub import Hub, get_hub
from offload.streams.snapshots import SEPARATORS

if TYPE_CHECKING:
    from offload.live.access import Grants
    from offload.models import Job
    from offload.streams.snapshots import RenderContext, RenderedSnapshot
    from offload.streams.subscription import Subscription

UPDATE_INTERVAL = 0.25
"""Seconds between two updates of a job that has not finished."""
IDLE_INTERVALS = 4
"""A job without an update for this many intervals is idle: its next change is sent at once."""
MAX_BATCH_CHARS = 32 * 1024
"""Size after which a batch is sent. Until the next batch, newer states may replace pending ones."""
PING_INTERVAL = 15.0
"""Send a ping after this many seconds without a message."""
LIFETIME_SECONDS = 55.0
"""Lifetime of a stream, +-20 %. The client then reconnects, and is authorized again."""


class StreamMessage(NamedTuple):
    """A message to the client.

    Attributes:
        event: "snapshot", "update", "close" or "ping"; over a WebSocket also "error".
        id: versions that the client has after this message: `<id>.<version>,...`.
        data: JSON, in one line.
    """

    event: str
    id: str = ""
    data: str = ""


class SubscribedJob:
    """A job that the client has subscribed to.

    Attributes:
        hub: reports changes; None once the job has finished.
        version: the newest version that was sent.
        sent_at: time of the last update.
        due_at: time at which the pending update may be sent. The final one is sent at once.
    """

    __slots__ = ("context", "due_at", "grants", "hub", "id", "sent_at", "version")

    def __init__(self, job: Job, hub: Hub | None, grants: Grants, context: RenderContext) -> None:
        self.id = str(job.pk)  # as text: each message contains it
        self.hub: Hub | None = hub
        self.version = job.version
        self.grants = grants
        self.context = context
        self.sent_at = -math.inf
        self.due_at = -math.inf


class Stream:
    """The messages for one client. Use it in a `with` block, which unsubscribes from all jobs.

    Args:
        subscription: the first jobs.
        lifetime: seconds until it closes; None for a random time around `LIFETIME_SECONDS`.
    """

    def __init__(
        self, subscription: Subscription | None = None, *, lifetime: float | None = None
    ) -> None:
        if lifetime is None:
            lifetime = LIFETIME_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._expires_at = self._opened_at + lifetime
        self._ping_at = self._opened_at + PING_INTERVAL
        self._wakeup = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._replies: deque[Subscription | StreamMessage] = deque()
        """Sent before all updates. A subscription is sent as a snapshot of its jobs."""
        self._jobs: dict[UUID, SubscribedJob] = {}
        self._pending: dict[UUID, RenderedSnapshot] = {}
        """The newest state of each job that has changed and was not sent."""
        self._has_subscribed = False
        self._is_aborted = False
        self.close_reason: str | None = None
        self.sessions: set[str] = set()
        """Keys of the sessions that authorized it."""
        if subscription is not None:
            self.subscribe(subscription)

    def __enter__(self) -> Self:
        open_connections.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        open_connections.discard(self)
        self.unsubscribe(self.ids)
        self._stop_timer()

    @property
    def ids(self) -> set[UUID]:
        """The jobs that the client has subscribed to."""
        return set(self._jobs)

    @property
    def unread_replies(self) -> int:
        """Number of replies that the client has not read."""
        return len(self._replies)

    def subscribe(self, subscription: Subscription) -> None:
        """Send a snapshot of some jobs, then their updates."""
        self._has_subscribed = True
        self._replies.append(subscription)
        if subscription.session_key is not None:
            self.sessions.add(subscription.session_key)
        known: defaultdict[Hub, dict[UUID, int]] = defaultdict(dict)
        for pk, (snapshot, grants) in subscription.jobs.items():
            self._remove(pk)
            job = snapshot.job
            assert job is not None  # noqa: S101  # for the type checker
            hub = None if snapshot.is_finished else get_hub(str(job._state.db))  # noqa: SLF001
            self._jobs[pk] = SubscribedJob(job, hub, grants, subscription.context)
            if hub is not None:
                known[hub][pk] = job.version
        for hub, versions in known.items():
            hub.subscribe(versions, self)
        self._wakeup.set()

    def unsubscribe(self, ids: Iterable[UUID]) -> None:
        """Stop sending updates of some jobs."""
        for pk in ids:
            self._remove(pk)
        self._wakeup.set()

    def reply(self, message: StreamMessage) -> None:
        """Send a message before all updates."""
        if message.event == "snapshot":
            self._has_subscribed = True
        self._replies.append(message)
        self._wakeup.set()

    def close(self, reason: str) -> None:
        """Send the reason and close: after "lifetime" or "shutdown" the client reconnects."""
        self.close_reason = self.close_reason or reason
        self._wakeup.set()

    def abort(self) -> None:
        """Close without a message: the client has disconnected."""
        self._is_aborted = True
        self._wakeup.set()

    async def messages(self) -> AsyncIterator[StreamMessage]:
        """Yield the messages one by one."""
        async for batch in self.batches():
            for message in batch:
                if self._is_aborted:
                    return
                yield message

    async def batches(self) -> AsyncIterator[list[StreamMessage]]:
        """Yield the messages in lists, each of those that are due at the same time."""
        while not self._is_aborted:
            batch = self._next_batch()
            if batch:
                yield batch
                if batch[-1].event == "close":
                    return
            else:
                await self._wait()

    # --- changes from the hub -----------------------------------------------------------------

    def put(self, snapshot: RenderedSnapshot) -> None:
        """Receive the state of a job; ignore it unless it is newer than the last one."""
        job = self._jobs.get(snapshot.id)
        if job is None:
            return
        pending = self._pending.get(snapshot.id)
        newest = job.version if pending is None else pending.version
        if snapshot.version is not None and (newest is None or snapshot.version <= newest):
            return
        self._pending[snapshot.id] = snapshot
        if snapshot.is_finished:
            self._wakeup.set()
        elif pending is None:
            job.due_at = self._due_at(job)
            self._wake_at(job.due_at)

    def _due_at(self, job: SubscribedJob) -> float:
        """Return the time at which an update may be sent: now if the job is idle, else a tick."""
        now = self._loop.time()
        if now >= job.sent_at + IDLE_INTERVALS * UPDATE_INTERVAL:
            return now
        # Less than an interval: after a tick that ran late, the next one must not be skipped.
        earliest = max(now, job.sent_at + 0.8 * UPDATE_INTERVAL)
        ticks = math.ceil((earliest - self._opened_at) / UPDATE_INTERVAL)
        return self._opened_at + ticks * UPDATE_INTERVAL

    # --- messages -----------------------------------------------------------------------------

    def _next_batch(self) -> list[StreamMessage]:
        """Return all messages that are due, up to about `MAX_BATCH_CHARS`."""
        batch: list[StreamMessage] = []
        chars = 0
        while chars < MAX_BATCH_CHARS:
            message = self._next_message()
            if message is None:
                break
            self._ping_at = self._loop.time() + PING_INTERVAL
            batch.append(message)
            if message.event == "close":
                break
            chars += len(message.id) + len(message.data)
        return batch

    def _next_message(self) -> StreamMessage | None:
        """Return the next message; None if nothing is due."""
        if self._replies:
            return self._next_reply()
        now = self._loop.time()
        if now >= self._expires_at:
            self.close("lifetime")
        due = self._next_due_job(now)
        if due is not None:
            return self._update(due)
        if self._is_finished():
            self.close("finished")
        if self.close_reason is not None:
            return StreamMessage("close", data=to_json({"reason": self.close_reason}))
        return StreamMessage("ping") if now >= self._ping_at else None

    def _next_reply(self) -> StreamMessage:
        reply = self._replies.popleft()
        return reply if isinstance(reply, StreamMessage) else self._snapshot(reply)

    def _next_due_job(self, now: float) -> UUID | None:
        """Return a job whose update may be sent; None if no job has one, or the stream closes."""
        if self.close_reason is None:
            for pk, snapshot in self._pending.items():
                if snapshot.is_finished or self._jobs[pk].due_at <= now:
                    return pk
        return None

    def _is_finished(self) -> bool:
        """Return whether no further message about a job is possible."""
        if not self._has_subscribed or self._pending:
            return False
        return all(job.hub is None for job in self._jobs.values())

    def _snapshot(self, subscription: Subscription) -> StreamMessage:
        """Return the first message of a subscription: the states that the client does not have."""
        items = [
            snapshot.to_json(grants, subscription.context)
            for pk, (snapshot, grants) in subscription.jobs.items()
            if (snapshot.version or 0) > subscription.known.get(pk, -1)
        ]
        missing = to_json(list(subscription.missing))
        subscription.clear()
        data = f'{{"items":[{",".join(items)}],"missing":{missing}}}'
        return StreamMessage("snapshot", self._versions(), data)

    def _update(self, pk: UUID) -> StreamMessage:
        """Return the pending state of a job."""
        snapshot = self._pending.pop(pk)
        job = self._jobs[pk]
        if snapshot.job is None:
            self._remove(pk)
            data = to_json({"items": [], "missing": [str(pk)]})
            return StreamMessage("snapshot", self._versions(), data)
        job.version = snapshot.job.version
        job.sent_at = self._loop.time()
        if snapshot.is_finished:
            self._unsubscribe(pk)
        return StreamMessage("update", self._versions(), snapshot.to_json(job.grants, job.context))

    def _versions(self) -> str:
        return ",".join(f"{job.id}.{job.version}" for job in self._jobs.values())

    # --- waiting ------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until a message may be due."""
        due = (self._jobs[pk].due_at for pk in self._pending)
        self._wake_at(min(self._ping_at, self._expires_at, *due))
        await self._wakeup.wait()
        self._stop_timer()
        self._wakeup.clear()

    def _wake_at(self, time: float) -> None:
        """Wake at this time at the latest."""
        if time <= self._loop.time():
            self._wakeup.set()
        elif self._timer is None or time < self._timer.when():
            self._stop_timer()
            self._timer = self._loop.call_at(time, self._wakeup.set)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- jobs ---------------------------------------------------------------------------------

    def _remove(self, pk: UUID) -> None:
        if pk in self._jobs:
            self._unsubscribe(pk)
            del self._jobs[pk]
        self._pending.pop(pk, None)

    def _unsubscribe(self, pk: UUID) -> None:
        job = self._jobs[pk]
        hub = job.hub
        job.hub = None
        if hub is not None:
            hub.unsubscribe(pk, self)


def to_json(value: object) -> str:
    """Return JSON in one line."""
    return json.dumps(value, separators=SEPARATORS)
