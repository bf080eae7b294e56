"""The hub: what this process hears of watched jobs, fanned out to its streams.

One for each database and event loop. However many streams follow a job, the database is asked
once, by the thread of the watch; a stream holds neither a thread nor a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary, ref

from offload.streams.snapshots import RenderedSnapshot
from offload.watching.watcher import Watcher, get_watcher

if TYPE_CHECKING:
    from offload.store.records import JobSnapshot


class Follower(Protocol):
    """Who is told of changes."""

    def put(self, sight: RenderedSnapshot) -> None:
        """Take a state of a job, in the event loop; must be quick."""


class Hub:
    """Args:
    watch: looks at the jobs.
    loop: in which followers are told.
    """

    def __init__(self, watch: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = watch
        self._loop = ref(loop)  # a loop that is gone shall take its hub along
        self._followers: dict[UUID, set[Follower]] = {}

    def follow(self, known: Mapping[UUID, int], follower: Follower) -> None:
        """Tell of each change of jobs until they are left.

        Args:
            known: each job's version that the follower knows; whatever is newer is told.
            follower: may be told of what it knows, or of what is older.
        """
        for job in known:
            self._followers.setdefault(job, set()).add(follower)
        self._watch.subscribe(known, self._tell)

    def leave(self, job: UUID, follower: Follower) -> None:
        """Tell no more of a job."""
        followers = self._followers.get(job, set())
        followers.discard(follower)
        if not followers and self._followers.pop(job, None) is not None:
            self._watch.unsubscribe([job], self._tell)

    def _tell(self, seen: Sequence[JobSnapshot]) -> None:
        """Carry what is new from the thread of the watch into the event loop: once a look."""
        loop = self._loop()
        if loop is None:
            raise RuntimeError("The event loop is gone.")  # as of one that is closed
        loop.call_soon_threadsafe(self._fan_out, seen)

    def _fan_out(self, seen: Sequence[JobSnapshot]) -> None:
        for each in seen:
            sight = RenderedSnapshot(each)
            for follower in tuple(self._followers.get(each.id, ())):
                follower.put(sight)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Watcher, Hub]] = WeakKeyDictionary()


def get_hub(using: str) -> Hub:
    """Return the hub of a database for the running event loop.

    Args:
        using: alias in DATABASES.
    """
    loop, watch = asyncio.get_running_loop(), get_watcher(using)
    hubs = _hubs.setdefault(loop, {})
    if watch not in hubs:
        hubs[watch] = Hub(watch, loop)
    return hubs[watch]
