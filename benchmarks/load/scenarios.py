"""The scenarios of `scale.py`: what the table contains, and who else uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import connection

from load import concurrent_scenarios, job_rows
from load.database import delete_jobs, run_maintenance
from load.drain_rate import best_drain_rate, drain
from load.pickup_latency import measure_pickup, pickup_latency
from load.scale_table import row
from load.sizes import Sizes
from load.statement_cost import CLAIMED_JOBS, claim_statement_cost

type Scenario = Callable[[Sizes], Iterator[str]]
"""Yields rows of the table, and notes."""


def empty(sizes: Sizes) -> Iterator[str]:
    """Measure with an empty table."""
    best = best_drain_rate(sizes, fresh=True)
    delete_jobs()
    yield from _claim_note("An empty table", add=CLAIMED_JOBS)
    yield row("an empty table", best, measure_pickup(sizes.samples))


def queued(sizes: Sizes) -> Iterator[str]:
    """Drain a long queue; before that, measure an idle worker of another queue."""
    from load.tasks import noop  # noqa: PLC0415  # needs the app registry

    usual = best_drain_rate(sizes, fresh=True)
    delete_jobs()
    job_rows.insert_ready(sizes.many, queue="bulk")
    run_maintenance()
    yield from _claim_note(f"{sizes.many:,} queued", "bulk")
    latency = measure_pickup(sizes.samples)
    urgent: list[str] = []

    def enqueue_urgent() -> None:
        urgent.append(noop.using(priority=100).enqueue().id)

    drained = drain(meanwhile=enqueue_urgent)
    yield row(f"{sizes.many:,} queued", drained, latency, usual)
    waited = pickup_latency(urgent[:-1])  # the worker may have exited before the last one
    yield (
        f"Jobs with a higher priority, enqueued during this drain: p50 {waited.p50:.1f} ms until "
        f"the claim, {waited.result_p50:.1f} ms until the result is stored."
    )


def scheduled(sizes: Sizes) -> Iterator[str]:
    """Measure beside many jobs that are scheduled for later."""
    usual = best_drain_rate(sizes, fresh=True)
    delete_jobs()
    job_rows.insert_scheduled(sizes.many)
    yield from _claim_note(f"{sizes.many:,} scheduled", add=CLAIMED_JOBS)
    best = best_drain_rate(sizes)
    yield row(f"{sizes.many:,} scheduled", best, measure_pickup(sizes.samples), usual)


def finished(sizes: Sizes) -> Iterator[str]:
    """Measure beside many finished jobs."""
    usual = best_drain_rate(sizes, fresh=True)
    delete_jobs()
    job_rows.insert_finished(sizes.finished)
    yield from _claim_note(f"{sizes.finished:,} finished", add=CLAIMED_JOBS)
    best = best_drain_rate(sizes)
    yield row(f"{sizes.finished:,} finished", best, measure_pickup(sizes.samples), usual)


def _claim_note(scenario: str, queue: str = "default", *, add: int = 0) -> Iterator[str]:
    """Yield a note with the cost of one claim, in pages, which other work does not affect.

    Args:
        scenario: its name.
        queue: from which to claim.
        add: number of jobs to insert before.
    """
    if connection.vendor == "postgresql":
        job_rows.insert_ready(add, queue=queue)
        run_maintenance()
        yield f"{scenario}: one claim of {CLAIMED_JOBS} costs {claim_statement_cost([queue])}."


SCENARIOS: dict[str, Scenario] = {
    "empty": empty,
    "queued": queued,
    "scheduled": scheduled,
    "finished": finished,
    "open-transaction": concurrent_scenarios.drain_beside_open_transaction,
    "workers": concurrent_scenarios.drain_with_eight_workers,
    "queues": concurrent_scenarios.drain_a_hundred_queues,
    "pruning": concurrent_scenarios.drain_during_pruning,
}
