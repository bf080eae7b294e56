"""Measurements of the enqueue call, with no worker running."""

from __future__ import annotations

from arena.figures import ANY, Figures, quantile
from arena.plan import Plan
from arena.stand import Stand

CHUNK = 1_000


def enqueue(stand: Stand, plan: Plan, figures: Figures) -> None:
    """Measure single calls, by themselves and inside one transaction."""
    for name, transaction in (("enqueue", False), ("enqueue in transaction", True)):
        with stand.fresh() as client:
            seconds = client.ask("enqueue", count=plan.enqueues, transaction=transaction) or []
        for part, label in ((0.5, "p50"), (0.99, "p99")):
            number = quantile(seconds, part)
            micro = None if number is None else number * 1e6
            figures.add(stand.contender.name, ANY, f"{name} {label}", micro)


def bulk(stand: Stand, plan: Plan, figures: Figures) -> None:
    """Measure the quickest way to enqueue many."""
    with stand.fresh() as client:
        kind = stand.contender.kinds[0]
        took = client.ask("enqueue_many", kinds=[kind], count=plan.bulk, chunk=CHUNK)
    figures.add(stand.contender.name, ANY, "bulk", plan.bulk / took)
