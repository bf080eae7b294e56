"""What we want to reach: against peers measured in the same run, and in absolute numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from arena.figures import ANY, Figures
from arena.lineup import LINEUP, Contender

NOOPS = ("noop", "anoop")
EMBEDDED = "embedded, 1 thread"


@dataclass(frozen=True)
class Target:
    """A number of ours beside another, and how they should relate.

    Attributes:
        what: what was measured.
        ours: our number.
        other: whom or what it is compared with.
        number: the other number.
        factor: how many times the other number ours should be, at least or at most.
        at_most: whether less is better.
    """

    what: str
    ours: float
    other: str
    number: float
    factor: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.number if self.number else float("inf")

    @property
    def is_reached(self) -> bool:
        if self.at_most:
            return self.ours <= self.number * self.factor
        return self.ours >= self.number * self.factor


DRAINS = (
    # our contender, only this configuration, the peer, factor
    ("offload-postgresql", "", "celery-redis", 10),
    ("offload-postgresql", "", "django-tasks-db-postgresql", 15),
    ("offload-postgresql", "", "django-ox-postgresql", 15),
    ("offload-postgresql", "", "pgqueuer-postgresql", 1.3),
    ("offload-sqlite", "", "celery-redis", 10),
    ("offload-sqlite", "", "django-tasks-db-sqlite", 15),
    ("offload-sqlite", "", "django-ox-sqlite", 15),
    ("offload-sqlite", "", "huey-sqlite-nosync", 3),
    ("offload-sqlite", EMBEDDED, "huey-sqlite-nosync", 1.5),
)
LIMITS = (
    # figure, contender, number at most
    ("enqueue p50", "offload-postgresql", 250, "us"),
    ("enqueue p50", "offload-sqlite", 60, "us"),
    ("pickup p50", "offload-postgresql", 2, "ms"),
    ("pickup p50", "offload-sqlite", 2, "ms"),
    ("result p50", "offload-postgresql", 3, "ms"),
    ("result p50", "offload-sqlite", 3, "ms"),
    ("idle requests", "offload-postgresql", 2, "/s"),
    ("idle cpu", "offload-postgresql", 0.5, "%"),
    ("idle cpu", "offload-sqlite", 0.5, "%"),
)
BULK = 50_000


def targets(figures: Figures) -> Iterator[Target]:
    """Return those for which both numbers were measured."""
    for ours, workers, peer, factor in DRAINS:
        mine = best_drain(figures, ours, workers)
        other = best_drain(figures, peer)
        if mine and other:
            what = f"{ours} drain /s" + (f" ({workers})" if workers else "")
            yield Target(what, mine, f"{peer}", other, factor)
    celery = figures.median("celery-redis", ANY, "enqueue p50")
    mine_us = figures.median("offload-postgresql", ANY, "enqueue p50")
    if celery and mine_us:
        what = "offload-postgresql enqueue p50 us"
        yield Target(what, mine_us, "celery-redis", celery, 1, at_most=True)
    for name in ("offload-postgresql", "offload-sqlite"):
        rows = figures.median(name, ANY, "bulk")
        if rows:
            yield Target(f"{name} bulk rows/s", rows, "a number", BULK, 1)
    for figure, name, limit, unit in LIMITS:
        number = of_first_workers(figures, name, figure)
        if number is not None:
            yield Target(f"{name} {figure} {unit}", number, "a number", limit, 1, at_most=True)


def best_drain(
    figures: Figures, contender: str, workers: str = "", names: tuple[str, ...] = NOOPS
) -> float | None:
    """Return the highest median of a contender's configurations, of figures of drains."""
    labels = [workers] if workers else [w.label for w in _find(contender).workers]
    rates = (figures.median(contender, label, name) for label in labels for name in names)
    return max((rate for rate in rates if rate is not None), default=None)


def of_first_workers(figures: Figures, contender: str, name: str) -> float | None:
    """Return a figure of a contender's first configuration, or of the contender itself."""
    number = figures.median(contender, ANY, name)
    if number is not None:
        return number
    return figures.median(contender, _find(contender).workers[0].label, name)


def _find(name: str) -> Contender:
    return next(contender for contender in LINEUP if contender.name == name)
