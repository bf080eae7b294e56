"""A stream: what one page is told of its jobs, whatever carries it there.

A snapshot, then whole states of what changes, at most four a second for each job and an end at
once; then the reason why the stream ends. Jobs that change all the time are told of together, so
that a page wakes four times a second, however many they are. Of a page that reads slowly only the
newest state of each job is kept.
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
    from offload.streams.snapshots import RenderedSnapshot, Wording
    from offload.streams.subscription import Subscription

SPACING = 0.25
"""Seconds between two states of a job that has not ended."""
STILL = 4
"""Spacings after which a job counts as still: its next change is told at once."""
BURST = 32 * 1024
"""Characters that are told together; of what is left the page gets the newest states."""
PING = 15.0
"""Seconds of silence after which the stream says that it is there."""
LIFE = 55.0
"""Seconds until it ends by itself, give or take a fifth: the page comes back, through Django."""


class Message(NamedTuple):
    """Attributes:
    event: "snapshot", "task", "end" or "ping"; over a WebSocket also "error".
    id: the versions that a page has when it has read this: `<id>.<version>,...`.
    data: JSON, in one line.
    """

    event: str
    id: str = ""
    data: str = ""


class Followed:
    """A job that the page follows."""

    __slots__ = ("due_at", "grants", "hub", "id", "told_at", "version", "wording")

    def __init__(self, job: Job, hub: Hub | None, grants: Grants, wording: Wording) -> None:
        self.id = str(job.pk)  # each message names all of them
        self.hub: Hub | None = hub
        """None when the job has ended."""
        self.version = job.version
        self.grants = grants
        self.wording = wording
        self.told_at = -math.inf
        self.due_at = -math.inf
        """When the change that waits may be told, unless it is the end."""


class Stream:
    """Use it in a `with` block: nothing is held after that.

    Args:
    order: what is followed from the beginning.
    life: seconds until it ends by itself.
    """

    def __init__(self, order: Subscription | None = None, *, life: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._ahead: deque[Subscription | Message] = deque()
        """What is to be told before all changes."""
        self._followed: dict[UUID, Followed] = {}
        self._waiting: dict[UUID, RenderedSnapshot] = {}
        """What is to be told, the newest of each job."""
        self._reason: str | None = None
        self._is_cut = False
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = self._loop.time()
        self._ping_at = self._began_at + PING
        life = LIFE * random.uniform(0.8, 1.2) if life is None else life  # noqa: S311
        self._ends_at = self._began_at + life
        self.sessions: set[str] = set()
        """Keys of the sessions that have a right to it."""
        if order is not None:
            self.add(order)

    def __enter__(self) -> Self:
        open_connections.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        open_connections.discard(self)
        self.remove(self.ids)
        self._stop_timer()

    @property
    def ids(self) -> set[UUID]:
        """The jobs that are followed."""
        return set(self._followed)

    @property
    def unread(self) -> int:
        """How many answers the page has yet to take."""
        return len(self._ahead)

    def add(self, order: Subscription) -> None:
        """Follow more jobs; a snapshot of them comes first."""
        self._has_begun = True
        self._ahead.append(order)
        if order.session is not None:
            self.sessions.add(order.session)
        known: defaultdict[Hub, dict[UUID, int]] = defaultdict(dict)
        for pk, (sight, grants) in order.jobs.items():
            self._drop(pk)
            job = sight.seen.job
            assert job is not None  # noqa: S101  # for the type checker
            hub = None if sight.seen.is_finished else get_hub(str(job._state.db))  # noqa: SLF001
            self._followed[pk] = Followed(job, hub, grants, order.wording)
            if hub is not None:
                known[hub][pk] = job.version
        for hub, versions in known.items():
            hub.follow(versions, self)
        self._news.set()

    def say(self, message: Message) -> None:
        """Tell something that no job's change brings."""
        self._has_begun = self._has_begun or message.event == "snapshot"
        self._ahead.append(message)
        self._news.set()

    def remove(self, ids: Iterable[UUID]) -> None:
        """Follow some jobs no longer."""
        for pk in ids:
            self._drop(pk)
        self._news.set()

    def close(self, reason: str) -> None:
        """End: "lifetime" or "shutdown" let the page come back."""
        self._reason = self._reason or reason
        self._news.set()

    def cut(self) -> None:
        """End without a word: nobody is there any more."""
        self._is_cut = True
        self._news.set()

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what the page is told."""
        async for burst in self.bursts():
            for message in burst:
                if self._is_cut:
                    return
                yield message

    async def bursts(self) -> AsyncIterator[list[Message]]:
        """Yield what the page is told, together what is due together."""
        while not self._is_cut:
            burst = self._burst()
            if burst:
                yield burst
                if burst[-1].event == "end":
                    return
            else:
                await self._rest()

    # --- a follower of hubs -------------------------------------------------------------------

    def put(self, sight: RenderedSnapshot) -> None:
        """Take a state of a job that may be newer than what the page has."""
        followed = self._followed.get(sight.id)
        if followed is None:
            return
        before = self._waiting.get(sight.id)
        newest = followed.version if before is None else before.version
        if sight.version is not None and (newest is None or sight.version <= newest):
            return
        self._waiting[sight.id] = sight
        if sight.seen.is_finished:
            self._news.set()
        elif before is None:
            followed.due_at = self._due_at(followed)
            self._wake_at(followed.due_at)

    def _due_at(self, followed: Followed) -> float:
        """Return when a change may be told: at a tick of the stream, or at once of a still job."""
        now = self._loop.time()
        if now >= followed.told_at + STILL * SPACING:
            return now
        # Less than a whole spacing: a tick may come late, and the next one is not passed over.
        earliest = max(now, followed.told_at + 0.8 * SPACING)
        return self._began_at + math.ceil((earliest - self._began_at) / SPACING) * SPACING

    # --- what comes next ----------------------------------------------------------------------

    def _burst(self) -> list[Message]:
        """Return what is to be told now, but not much more than a connection takes at once."""
        burst: list[Message] = []
        room = BURST
        while room > 0 and (message := self._next()) is not None:
            self._ping_at = self._loop.time() + PING
            burst.append(message)
            if message.event == "end":
                break
            room -= len(message.id) + len(message.data)
        return burst

    def _next(self) -> Message | None:
        """Return what is to be told now; None if that is nothing."""
        now = self._loop.time()
        if self._ahead:
            first = self._ahead.popleft()
            return first if isinstance(first, Message) else self._snapshot(first)
        if self._reason is None and now >= self._ends_at:
            self._reason = "lifetime"
        if self._reason is None:
            for pk, sight in self._waiting.items():
                if sight.seen.is_finished or self._followed[pk].due_at <= now:
                    return self._change(pk)
            if self._has_begun and not self._waiting and not any(self._unfinished()):
                self._reason = "done"
        if self._reason is not None:
            return Message("end", data=to_json({"reason": self._reason}))
        return Message("ping") if now >= self._ping_at else None

    def _snapshot(self, order: Subscription) -> Message:
        items = []
        for pk, (sight, grants) in order.jobs.items():
            if (sight.version or 0) > order.known.get(pk, -1):
                items.append(sight.text(grants, order.wording))
        data = f'{{"items":[{",".join(items)}],"missing":{to_json(list(order.missing))}}}'
        order.forget()
        return Message("snapshot", self._versions(), data)

    def _change(self, pk: UUID) -> Message:
        sight, followed = self._waiting.pop(pk), self._followed[pk]
        if sight.seen.job is None:
            self._drop(pk)
            return Message(
                "snapshot", self._versions(), to_json({"items": [], "missing": [str(pk)]})
            )
        followed.version = sight.seen.job.version
        followed.told_at = self._loop.time()
        if sight.seen.is_finished:
            self._leave(pk)
        return Message("task", self._versions(), sight.text(followed.grants, followed.wording))

    def _versions(self) -> str:
        return ",".join(f"{each.id}.{each.version}" for each in self._followed.values())

    def _unfinished(self) -> Iterable[bool]:
        return (followed.hub is not None for followed in self._followed.values())

    async def _rest(self) -> None:
        """Wait for news, or until something is due."""
        due = (self._followed[pk].due_at for pk in self._waiting)
        self._wake_at(min(self._ping_at, self._ends_at, *due))
        await self._news.wait()
        self._stop_timer()
        self._news.clear()

    def _wake_at(self, moment: float) -> None:
        """Look at that moment, if not before."""
        if moment <= self._loop.time():
            self._news.set()
        elif self._timer is None or moment < self._timer.when():
            self._stop_timer()
            self._timer = self._loop.call_at(moment, self._news.set)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self, pk: UUID) -> None:
        followed = self._followed[pk]
        hub, followed.hub = followed.hub, None
        if hub is not None:
            hub.leave(pk, self)

    def _drop(self, pk: UUID) -> None:
        if pk in self._followed:
            self._leave(pk)
            del self._followed[pk]
        self._waiting.pop(pk, None)


def to_json(value: object) -> str:
    """Return JSON in one line."""
    return json.dumps(value, separators=SEPARATORS)
