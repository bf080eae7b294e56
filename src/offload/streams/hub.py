"""The hub: distributes changes of watched jobs to the streams of this process.

There is one hub for each database and event loop. The watcher's thread runs one query for all
jobs, however many streams follow them; a stream holds neither a thread nor a connection.
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


class Subscriber(Protocol):
    """Receives changes of jobs."""

    def put(self, snapshot: RenderedSnapshot) -> None:
        """Take the state of a job. Called in the event loop; must return quickly."""


class Hub:
    """Subscriptions to the jobs of one database, for one event loop.

    Args:
        watcher: reports changes, in its own thread.
        loop: the event loop in which subscribers are called.
    """

    def __init__(self, watcher: Watcher, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = watcher
        self._loop = ref(loop)  # weak, so that the hub is deleted with its loop
        self._subscribers: dict[UUID, set[Subscriber]] = {}

    def subscribe(self, known: Mapping[UUID, int], subscriber: Subscriber) -> None:
        """Report each change of some jobs until `unsubscribe`.

        Args:
            known: the version of each job that the subscriber has; newer ones are reported.
            subscriber: it must ignore a version that is not newer than its own.
        """
        for job in known:
            self._subscribers.setdefault(job, set()).add(subscriber)
        self._watcher.subscribe(known, self._receive)

    def unsubscribe(self, job: UUID, subscriber: Subscriber) -> None:
        """Stop reporting changes of a job."""
        subscribers = self._subscribers.get(job, set())
        subscribers.discard(subscriber)
        if job in self._subscribers and not subscribers:
            del self._subscribers[job]
            self._watcher.unsubscribe([job], self._receive)

    def _receive(self, snapshots: Sequence[JobSnapshot]) -> None:
        """Pass all changes of one query from the watcher's thread to the event loop."""
        loop = self._loop()
        if loop is None:
            raise RuntimeError("The event loop was deleted.")  # as a closed loop raises
        loop.call_soon_threadsafe(self._distribute, snapshots)

    def _distribute(self, snapshots: Sequence[JobSnapshot]) -> None:
        for snapshot in snapshots:
            rendered = RenderedSnapshot(snapshot)
            for subscriber in tuple(self._subscribers.get(snapshot.id, ())):
                subscriber.put(rendered)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Watcher, Hub]] = WeakKeyDictionary()


def get_hub(using: str) -> Hub:
    """Return the hub of a database for the running event loop.

    Args:
        using: alias in DATABASES.
    """
    loop = asyncio.get_running_loop()
    watcher = get_watcher(using)
    hubs = _hubs.setdefault(loop, {})
    if watcher not in hubs:
        hubs[watcher] = Hub(watcher, loop)
    return hubs[watcher]
