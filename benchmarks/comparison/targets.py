"""The targets: ratios to peers that were measured in the same run, and absolute limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comparison.contenders import ALL_CONTENDERS, Contender
from comparison.measurements import ANY_CONFIG, Measurements

NOOPS = ("noop", "anoop")
EMBEDDED = "embedded, 1 thread"


@dataclass(frozen=True)
class Target:
    """A measured number, and its required ratio to another number.

    Attributes:
        label: name of the measurement.
        measured: the number of django-offload.
        reference: the peer to compare with, or `a limit`.
        reference_value: the number of the peer, or the limit.
        factor: the required ratio, at least or at most.
        at_most: whether less is better.
    """

    label: str
    measured: float
    reference: str
    reference_value: float
    factor: float
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return self.measured / self.reference_value if self.reference_value else float("inf")

    @property
    def is_reached(self) -> bool:
        limit = self.reference_value * self.factor
        return self.measured <= limit if self.at_most else self.measured >= limit


DRAINS = (
    # contender of django-offload, configuration (default: any), peer, factor
    ("offload-postgresql", "", "celery-redis", 10),
    ("offload-postgresql", "", "django-tasks-db-postgresql", 15),
    ("offload-postgresql", "", "django-ox-postgresql", 15),
    ("offload-postgresql", "", "pgqueuer-postgresql", 1.3),
    ("offload-sqlite", "", "celery-redis", 10),
    ("offload-sqlite", "", "django-tasks-db-sqlite", 15),
    ("offload-sqlite", "", "django-ox-sqlite", 15),
    ("offload-sqlite", "", "huey-sqlite-nosync", 3),
    ("offload-sqlite", EMBEDDED, "huey-sqlite-nosync", 1.5),
    ("offload-celery", "", "celery-redis-redis", 10),
    ("offload-celery", "", "celery-django-db-redis", 10),
    ("celery-offload-redis", "", "celery-django-db-redis", 2),
    ("offload-fleet-redis", "", "celery-django-db-redis", 1),
    ("offload-fleet-rabbitmq", "", "celery-django-db-rabbitmq", 1),
)
SAME_MIX = ("offload-postgresql", "pgqueuer-django-postgresql")
"""Two queues whose mixed jobs are the same, also in how they query the database."""
LIMITS = (
    # measurement, contender, limit, unit
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
MIN_BULK_ROWS_PER_SECOND = 50_000


def targets(measurements: Measurements) -> Iterator[Target]:
    """Yield the targets for which all numbers were measured."""
    yield from _drain_targets(measurements)
    mixes = [best_drain_rate(measurements, name, names=("amixed",)) for name in SAME_MIX]
    if mixes[0] and mixes[1]:
        label = f"{SAME_MIX[0]} async mixed /s"
        yield Target(label, mixes[0], SAME_MIX[1], mixes[1], 1)
    theirs = measurements.median("celery-redis", ANY_CONFIG, "enqueue p50")
    ours = measurements.median("offload-postgresql", ANY_CONFIG, "enqueue p50")
    if theirs and ours:
        label = "offload-postgresql enqueue p50 us"
        yield Target(label, ours, "celery-redis", theirs, 1, at_most=True)
    for contender in ("offload-postgresql", "offload-sqlite"):
        rows = measurements.median(contender, ANY_CONFIG, "bulk")
        if rows:
            label = f"{contender} bulk rows/s"
            yield Target(label, rows, "a limit", MIN_BULK_ROWS_PER_SECOND, 1)
    for name, contender, limit, unit in LIMITS:
        value = first_config_median(measurements, contender, name)
        if value is not None:
            label = f"{contender} {name} {unit}"
            yield Target(label, value, "a limit", limit, 1, at_most=True)


def _drain_targets(measurements: Measurements) -> Iterator[Target]:
    for contender, config, peer, factor in DRAINS:
        ours = best_drain_rate(measurements, contender, config)
        theirs = best_drain_rate(measurements, peer)
        if ours and theirs:
            label = f"{contender} drain /s"
            if config:
                label += f" ({config})"
            yield Target(label, ours, peer, theirs, factor)


def best_drain_rate(
    measurements: Measurements, contender: str, config: str = "", names: tuple[str, ...] = NOOPS
) -> float | None:
    """Return the highest median of the drains of one configuration, or of all."""
    labels = [config] if config else [each.label for each in _find(contender).configs]
    rates = (measurements.median(contender, label, name) for label in labels for name in names)
    return max((rate for rate in rates if rate is not None), default=None)


def first_config_median(measurements: Measurements, contender: str, name: str) -> float | None:
    """Return the median of a contender's first configuration, or of the contender itself."""
    value = measurements.median(contender, ANY_CONFIG, name)
    if value is not None:
        return value
    return measurements.median(contender, _find(contender).configs[0].label, name)


def _find(name: str) -> Contender:
    return next(contender for contender in ALL_CONTENDERS if contender.name == name)
