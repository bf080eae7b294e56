"""What a queue may look like while one engine works on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import connection

from load import crowds, rows
from load.claims import ROOM, cost_of_claim
from load.database import empty, settle
from load.drain import best_drain, drain
from load.pickup import pick_up, times_of
from load.sizes import Sizes, line

type Scene = Callable[[Sizes], Iterator[str]]
"""Yields lines of the table, and notes."""


def nothing(sizes: Sizes) -> Iterator[str]:
    """An empty table."""
    best = best_drain(sizes, fresh=True)
    empty()
    yield from claim_cost("Nothing", add=ROOM)
    yield line("nothing", best, pick_up(sizes.samples))


def queued(sizes: Sizes) -> Iterator[str]:
    """A long queue, drained to its end; before that, an idle engine of another queue."""
    from load.tasks import noop  # noqa: PLC0415  # needs the app registry

    usual = best_drain(sizes, fresh=True)
    empty()
    rows.queued(sizes.many, queue="bulk")
    settle()
    yield from claim_cost(f"{sizes.many:,} queued", "bulk")
    latency = pick_up(sizes.samples)
    urgent: list[str] = []
    drained = drain(meanwhile=lambda: urgent.append(noop.using(priority=100).enqueue().id))
    yield line(f"{sizes.many:,} queued", drained, latency, usual)
    waited = times_of(urgent[:-1])  # the last may have met no engine any more
    yield (
        f"Urgent jobs in front of these while they are drained: p50 {waited.p50:.1f} ms until "
        f"claimed, {waited.result_p50:.1f} ms until the result is stored."
    )


def scheduled(sizes: Sizes) -> Iterator[str]:
    """A full calendar."""
    usual = best_drain(sizes, fresh=True)
    empty()
    rows.scheduled(sizes.many)
    yield from claim_cost(f"{sizes.many:,} scheduled", add=ROOM)
    best = best_drain(sizes)
    yield line(f"{sizes.many:,} scheduled", best, pick_up(sizes.samples), usual)


def finished(sizes: Sizes) -> Iterator[str]:
    """A long past."""
    usual = best_drain(sizes, fresh=True)
    empty()
    rows.finished(sizes.finished)
    yield from claim_cost(f"{sizes.finished:,} finished", add=ROOM)
    best = best_drain(sizes)
    yield line(f"{sizes.finished:,} finished", best, pick_up(sizes.samples), usual)


def claim_cost(beside: str, queue: str = "default", *, add: int = 0) -> Iterator[str]:
    """Say what one claim costs here: pages do not depend on what else the machine does.

    Args:
        beside: what else is there.
        queue: where the jobs are.
        add: jobs to be queued before.
    """
    if connection.vendor == "postgresql":
        rows.queued(add, queue=queue)
        settle()
        yield f"{beside}: one claim of {ROOM} costs {cost_of_claim([queue])}."


SCENES: dict[str, Scene] = {
    "nothing": nothing,
    "queued": queued,
    "scheduled": scheduled,
    "finished": finished,
    "pinned": crowds.held_open,
    "engines": crowds.engines,
    "queues": crowds.queues,
    "pruning": crowds.pruning,
}
