"""Each figure of ours beside the best of the peers on the same store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from arena.figures import Figures
from arena.lineup import Contender
from arena.targets import best_drain, of_first_workers

DRAINS = ("noop", "anoop", "mixed", "amixed", "noop per cpu", "anoop per cpu")
MORE_IS_BETTER = (*DRAINS, "bulk")
LABELS = {
    "noop": "drain of def no-ops, jobs/s",
    "anoop": "drain of async def no-ops, jobs/s",
    "mixed": "drain of mixed jobs, jobs/s",
    "amixed": "drain of async mixed jobs, jobs/s",
    "noop per cpu": "def no-ops per CPU second",
    "anoop per cpu": "async def no-ops per CPU second",
    "bulk": "enqueue many, jobs/s",
    "enqueue p50": "enqueue p50, us",
    "enqueue p99": "enqueue p99, us",
    "enqueue in transaction p50": "enqueue in a transaction p50, us",
    "pickup p50": "pick-up p50, ms",
    "pickup p99": "pick-up p99, ms",
    "result p50": "result p50, ms",
    "result p99": "result p99, ms",
    "big enqueue": "1 MB: enqueue, ms",
    "big start": "1 MB: to start, ms",
    "idle requests": "idle transactions/s",
    "idle cpu": "idle CPU, %",
    "idle memory": "idle memory (PSS), MB",
}


@dataclass(frozen=True)
class Pair:
    """One figure, ours and the best peer's."""

    what: str
    store: str
    ours: float
    peer: str
    number: float

    @property
    def ratio(self) -> float:
        return self.ours / self.number if self.number else float("inf")


def pairs(figures: Figures, contenders: Sequence[Contender]) -> Iterator[Pair]:
    """Return those figures that both have."""
    for mine in contenders:
        if not mine.is_ours:
            continue
        rivals = [c for c in contenders if c.store == mine.store and not c.is_ours]
        for name, label in LABELS.items():
            ours = _figure(figures, mine, name)
            theirs = {c.name: n for c in rivals if (n := _figure(figures, c, name)) is not None}
            if ours is not None and theirs:
                choose = max if name in MORE_IS_BETTER else min
                peer = choose(theirs, key=lambda rival: theirs[rival])
                yield Pair(label, mine.store, ours, peer, theirs[peer])


def _figure(figures: Figures, contender: Contender, name: str) -> float | None:
    if name in DRAINS:
        return best_drain(figures, contender.name, names=(name,))
    return of_first_workers(figures, contender.name, name)
