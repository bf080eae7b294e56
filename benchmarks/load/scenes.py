"""What a queue may look like while one engine works on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from load import crowds, rows
from load.database import empty, settle
from load.drain import Drained, drain
from load.pickup import pick_up
from load.sizes import Sizes, line

type Scene = Callable[[Sizes], Iterator[str]]
"""Yields lines of the table, and notes."""


def nothing(sizes: Sizes) -> Iterator[str]:
    """An empty table: what all others are compared with."""
    best = _best(sizes, fresh=True)
    empty()
    yield line("nothing", best, pick_up(sizes.samples))


def queued(sizes: Sizes) -> Iterator[str]:
    """A long queue, drained to its end; before that, an idle engine of another queue."""
    empty()
    rows.queued(sizes.many, queue="bulk")
    settle()
    latency = pick_up(sizes.samples)
    yield line(f"{sizes.many:,} queued", drain(), latency)


def scheduled(sizes: Sizes) -> Iterator[str]:
    """A full calendar."""
    empty()
    rows.scheduled(sizes.many)
    yield line(f"{sizes.many:,} scheduled", _best(sizes), pick_up(sizes.samples))


def finished(sizes: Sizes) -> Iterator[str]:
    """A long past."""
    empty()
    rows.finished(sizes.finished)
    yield line(f"{sizes.finished:,} finished", _best(sizes), pick_up(sizes.samples))


def _best(sizes: Sizes, *, fresh: bool = False) -> Drained:
    """Drain the same number of jobs some times.

    Args:
        sizes: how many jobs, and how often.
        fresh: empty the table before each time.
    """
    found = []
    for _ in range(sizes.repeat):
        if fresh:
            empty()
        rows.queued(sizes.jobs)
        settle()
        found.append(drain())
    return max(found, key=lambda drained: drained.rate)


SCENES: dict[str, Scene] = {
    "nothing": nothing,
    "queued": queued,
    "scheduled": scheduled,
    "finished": finished,
    "pinned": crowds.pinned_scene,
    "engines": crowds.engines,
    "queues": crowds.queues,
    "pruning": crowds.pruning,
}
