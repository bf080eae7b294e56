"""Measurements of workers that have nothing to do, and now and then one job."""

from __future__ import annotations

import statistics
import threading

from arena.figures import Figures, quantile
from arena.lineup import Workers
from arena.plan import Plan
from arena.stand import Stand
from arena.usage import spent

BIG = 1_000_000
SETTLE_SECONDS = 11
"""PostgreSQL's processes tell what they did up to 10 s later."""


def pickup(stand: Stand, workers: Workers, plan: Plan, figures: Figures) -> None:
    """Measure from the enqueue call to the job's first line."""
    with stand.live(workers) as (client, crew):
        client.ask("trickle", count=plan.pickups, low=0.05, high=0.1)
        stand.wait_until(lambda: stand.marks.count() >= plan.pickups, crew)
    _add(stand, workers, "pickup", stand.marks.delays(), figures)


def result(stand: Stand, workers: Workers, plan: Plan, figures: Figures) -> None:
    """Measure from the enqueue call until the result is seen."""
    with stand.live(workers) as (client, _):
        seconds = client.ask("results", count=plan.results)
    _add(stand, workers, "result", seconds, figures)


def big(stand: Stand, workers: Workers, plan: Plan, figures: Figures) -> None:
    """Measure a megabyte of arguments: the call, and until the job starts."""
    with stand.live(workers) as (client, _):
        seconds = client.ask("big", count=plan.big, size=BIG)
    place = stand.contender.name, workers.label
    figures.add(*place, "big enqueue", statistics.median(seconds) * 1e3)
    figures.add(*place, "big start", statistics.median(stand.marks.delays()) * 1e3)


def idle(stand: Stand, workers: Workers, plan: Plan, figures: Figures) -> None:
    """Measure what workers cost that have nothing to do."""
    store = stand.store
    with stand.live(workers) as (_, crew):
        threading.Event().wait(SETTLE_SECONDS)
        requests = store.requests()
        before = {**crew.engines(), **crew.executors()}
        threading.Event().wait(plan.idle_seconds)
        after = {**crew.engines(), **crew.executors()}
        place = stand.contender.name, workers.label
        figures.add(*place, "idle cpu", spent(before, after) / plan.idle_seconds * 100)
        figures.add(*place, "idle memory", crew.memory())
        figures.add(*place, "idle processes", crew.processes())
        if requests is not None:
            made = (store.requests() or 0) - requests
            figures.add(*place, "idle requests", made / plan.idle_seconds)


def _add(stand: Stand, workers: Workers, name: str, seconds: list[float], figures: Figures) -> None:
    place = stand.contender.name, workers.label
    for part, label in ((0.5, "p50"), (0.99, "p99")):
        number = quantile(seconds, part)
        figures.add(*place, f"{name} {label}", None if number is None else number * 1e3)
