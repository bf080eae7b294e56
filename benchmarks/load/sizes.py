"""How many rows, and how a line of the table is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from load.drain import Drained
    from load.pickup import PickUp


@dataclass(frozen=True)
class Sizes:
    """How many rows.

    Attributes:
        jobs: that are drained beside what else is there.
        many: a long queue, and a full calendar.
        finished: a long past.
        pinned: jobs that are drained while a transaction is open.
        samples: of the pick-up latency.
        repeat: drains, of which the best counts: others may use the machine.
    """

    jobs: int = 200_000
    many: int = 1_000_000
    finished: int = 10_000_000
    pinned: int = 300_000
    samples: int = 200
    repeat: int = 3

    @classmethod
    def quick(cls) -> Sizes:
        """Return sizes for a first impression."""
        return cls(20_000, 50_000, 100_000, 50_000, 50, 1)

    def changed(self, **sizes: int | None) -> Sizes:
        """Return these with some of them replaced."""
        return replace(self, **{name: size for name, size in sizes.items() if size is not None})


def line(
    beside: str, drained: Drained, latency: PickUp | None = None, usual: Drained | None = None
) -> str:
    """Return a line of the table, without the database.

    Args:
        beside: what else is there.
        drained: how fast the queue was drained.
        latency: how soon one job was taken up.
        usual: how fast an empty table's queue was drained just before.
    """
    tenths = f"{drained.first:,.0f}, {drained.slowest:,.0f}, {drained.last:,.0f}"
    share = f"{drained.rate / usual.rate:.0%}" if usual else ""
    times = " | "
    if latency is not None:
        times = f"{latency.p50:.1f}, {latency.p99:.1f} ms | {latency.result_p50:.1f} ms"
    numbers = f"{drained.jobs:,} | {drained.rate:,.0f} | {share} | {tenths} | {drained.others:.1f}"
    return f"| {beside} | {numbers} | {times} |"
