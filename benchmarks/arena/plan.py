"""How much is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

STAGES = ("enqueue", "bulk", "drain", "async", "mixed", "pickup", "result", "big", "idle")

REPEATED = STAGES[: STAGES.index("pickup")]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Numbers of jobs and runs.

    Attributes:
        stages: names from `STAGES`.
        runs: how often drains and enqueueing are repeated.
        share: part of a contender's backlog that is queued.
        all_workers: whether drains also try the other configurations.
    """

    stages: tuple[str, ...]
    runs: int = 2
    share: float = 1.0
    all_workers: bool = True
    enqueues: int = 3_000
    bulk: int = 20_000
    mixed_seconds: float = 4.0
    pickups: int = 120
    results: int = 100
    big: int = 12
    idle_seconds: float = 20.0


def make_plan(stages: Sequence[str] | None, *, runs: int | None, is_quick: bool) -> Plan:
    """Return what is asked for; without stages all, or those that are quick."""
    if is_quick:
        plan = replace(QUICK, stages=tuple(stages or QUICK.stages))
    else:
        plan = Plan(stages=tuple(stages or STAGES))
    repeated = any(stage in plan.stages for stage in REPEATED)
    return replace(plan, runs=(runs or plan.runs) if repeated else 1)


QUICK = Plan(
    stages=("enqueue", "bulk", "drain", "pickup", "result"),
    runs=2,
    share=0.3,
    all_workers=False,
    enqueues=1_000,
    bulk=10_000,
    mixed_seconds=1.5,
    pickups=40,
    results=30,
    big=4,
    idle_seconds=5.0,
)
