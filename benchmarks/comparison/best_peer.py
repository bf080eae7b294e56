"""Each measurement of django-offload, compared with the best peer's on the same store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comparison.contenders import Contender
from comparison.measurements import Measurements
from comparison.targets import best_drain_rate, first_config_median

SAME_JOBS = ("amixed", "amixed per cpu")
"""Compared with peers only whose jobs query the database with the same library."""
DRAINS = ("noop", "anoop", "mixed", *SAME_JOBS, "noop per cpu", "anoop per cpu")
MORE_IS_BETTER = (*DRAINS, "bulk")
LABELS = {
    "noop": "drain of def no-ops, jobs/s",
    "anoop": "drain of async def no-ops, jobs/s",
    "mixed": "drain of mixed jobs, jobs/s",
    "amixed": "drain of async mixed jobs, jobs/s",
    "amixed per cpu": "async mixed jobs per CPU second",
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
class PeerComparison:
    """One measurement of django-offload and the best peer's."""

    label: str
    store: str
    ours: float
    peer: str
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else float("inf")


def compare_with_peers(
    measurements: Measurements, contenders: Sequence[Contender]
) -> Iterator[PeerComparison]:
    """Yield a comparison for each measurement that exists for both sides."""
    for contender in contenders:
        if not contender.is_ours:
            continue
        peers = [c for c in contenders if c.store == contender.store and not c.is_ours]
        for name, label in LABELS.items():
            ours = _median(measurements, contender, name)
            theirs = {}
            for peer in peers:
                if name in SAME_JOBS and peer.query != contender.query:
                    continue
                value = _median(measurements, peer, name)
                if value is not None:
                    theirs[peer.name] = value
            if ours is not None and theirs:
                choose = max if name in MORE_IS_BETTER else min
                best = choose(theirs, key=lambda peer: theirs[peer])
                yield PeerComparison(label, contender.store, ours, best, theirs[best])


def _median(measurements: Measurements, contender: Contender, name: str) -> float | None:
    if name in DRAINS:
        return best_drain_rate(measurements, contender.name, names=(name,))
    return first_config_median(measurements, contender.name, name)
