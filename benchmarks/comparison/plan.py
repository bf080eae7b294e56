"""The stages of a run, and the number of jobs of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STAGES = (
    "enqueue",
    "bulk",
    "drain",
    "async",
    "mixed",
    "amixed",
    "pickup",
    "result",
    "chord",
    "big",
    "idle",
)

REPEATED = STAGES[: STAGES.index("pickup")]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages, runs and numbers of jobs of one measurement.

    Attributes:
        stages: names from `STAGES`.
        runs: number of rounds of draining and enqueueing.
        backlog_share: part of each configuration's backlog that is enqueued.
        all_configs: whether to drain with every configuration, not only the first.
    """

    stages: tuple[str, ...]
    runs: int = 2
    backlog_share: float = 1.0
    all_configs: bool = True
    enqueues: int = 3_000
    bulk: int = 20_000
    mixed_seconds: float = 4.0
    pickups: int = 120
    results: int = 100
    chord: int = 1_000
    chords: int = 5
    big: int = 12
    idle_seconds: float = 20.0


def make_plan(
    stages: Sequence[str] | None, *, runs: int | None, is_quick: bool, first_config: bool = False
) -> Plan:
    """Return the plan of these stages, by default of all or of the quick ones."""
    if is_quick:
        plan = replace(QUICK, stages=tuple(stages or QUICK.stages))
    else:
        plan = Plan(stages=tuple(stages or STAGES))
    if first_config:
        plan = replace(plan, all_configs=False)
    repeated = any(stage in plan.stages for stage in REPEATED)
    return replace(plan, runs=(runs or plan.runs) if repeated else 1)


QUICK = Plan(
    stages=("enqueue", "bulk", "drain", "pickup", "result"),
    runs=2,
    backlog_share=0.3,
    all_configs=False,
    enqueues=1_000,
    bulk=10_000,
    mixed_seconds=1.5,
    pickups=40,
    results=30,
    chords=2,
    big=4,
    idle_seconds=5.0,
)
