"""Scenarios of `scale.py` with several workers, queues, or other transactions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from django.db import connection

from load import job_rows
from load.database import delete_jobs, query, run_maintenance
from load.drain_rate import best_drain_rate, drain
from load.open_transaction import open_transaction
from load.pickup_latency import measure_pickup
from load.scale_table import row
from load.sizes import Sizes
from load.statement_cost import (
    CLAIMED_JOBS,
    StatementCost,
    claim_statement_cost,
    maintenance_statement_costs,
)

CLAIM_SAMPLES = 8
"""How often the cost of a claim is measured during a drain."""


class ClaimCosts:
    """The cost of one claim as a drain proceeds, with and without a watermark.

    Args:
        jobs: number of jobs in the queue.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._progress = job_rows.ClaimProgress(jobs)
        self._costs: list[tuple[int, StatementCost, StatementCost]] = []

    def sample(self) -> None:
        """Measure again if enough jobs were claimed since the last sample."""
        claimed = self._progress.claimed()
        # The rollback of a claim leaves dead rows, too, so samples are rare.
        is_due = claimed >= len(self._costs) * self._jobs // CLAIM_SAMPLES
        if is_due and claimed < self._jobs - 1000:
            first = self._progress.first()
            above = claim_statement_cost(["default"], above=first)
            self._costs.append((claimed, above, claim_statement_cost(["default"])))

    def notes(self) -> Iterator[str]:
        for place, column in (("above the watermark", 1), ("from the head of the queue", 2)):
            costs = "; ".join(f"after {cost[0]:,} jobs {cost[column]}" for cost in self._costs)
            yield f"One claim of {CLAIMED_JOBS} {place} during an open transaction: {costs}."


def drain_beside_open_transaction(sizes: Sizes) -> Iterator[str]:
    """Drain while another transaction stays open: dead entries remain in the indexes."""
    usual = best_drain_rate(sizes, fresh=True)
    delete_jobs()
    jobs = sizes.open_transaction
    job_rows.insert_ready(jobs)
    run_maintenance()
    if connection.vendor != "postgresql":
        with open_transaction():
            drained = drain()
            yield row("an open transaction", drained, measure_pickup(sizes.samples), usual)
        return
    claim_costs = ClaimCosts(jobs)
    with open_transaction():
        drained = drain(meanwhile=claim_costs.sample)
        costs = maintenance_statement_costs(query("SELECT worker FROM offload_job LIMIT 1")[0][0])
        yield row("an open transaction", drained, measure_pickup(sizes.samples), usual)
    yield from claim_costs.notes()
    yield "After that: " + "; ".join(f"{name} {cost}" for name, cost in costs.items()) + "."


def drain_with_eight_workers(sizes: Sizes) -> Iterator[str]:
    """Drain one queue with eight workers."""
    if connection.vendor == "sqlite":
        return
    delete_jobs()
    job_rows.insert_ready(sizes.jobs)
    run_maintenance()
    before = _deadlocks()
    drained = drain(workers=8, processes=1)
    yield row("8 workers of 1 process", drained)
    shares = sorted(n for (n,) in query("SELECT COUNT(*) FROM offload_job GROUP BY worker"))
    claims = query("SELECT COUNT(DISTINCT last_attempted_at) FROM offload_job")[0][0]
    reclaimed = query("SELECT COUNT(*) FROM offload_job WHERE fence <> 1")[0][0]
    yield (
        f"8 workers: {shares[0]:,} to {shares[-1]:,} jobs each, "
        f"{_deadlocks() - before} deadlocks, {sizes.jobs / claims:.0f} jobs in each claim, "
        f"{reclaimed} jobs released and claimed again."
    )


def _deadlocks() -> int:
    if connection.vendor == "mysql":
        return int(query("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1])
    query("SELECT pg_stat_clear_snapshot()")
    sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(query(sql)[0][0])


def drain_a_hundred_queues(sizes: Sizes) -> Iterator[str]:
    """Drain a hundred queues: first named in the settings, then discovered by the worker."""
    for names in ([f"queue{number}" for number in range(100)], []):
        delete_jobs()
        job_rows.insert_ready(sizes.jobs, queues=100)
        run_maintenance()
        settings = ["default", *names] if names else []  # "default" is the task's own queue
        label = "named" if names else "not named"
        if connection.vendor == "postgresql" and names:
            yield f"One claim of {CLAIMED_JOBS} from 100 queues: {claim_statement_cost(names)}."
        yield row(f"100 queues, {label}", drain(queues=json.dumps(settings)))


def drain_during_pruning(sizes: Sizes) -> Iterator[str]:
    """Drain while old jobs are pruned."""
    delete_jobs()
    job_rows.insert_finished(sizes.many, days_ago=20)
    job_rows.insert_ready(sizes.jobs)
    run_maintenance()
    command = [sys.executable, "-m", "django", "offload_prune", "--older-than=10"]
    pruner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    started, seconds = time.monotonic(), 0.0

    def check_pruner() -> None:
        nonlocal seconds
        if not seconds and pruner.poll() is not None:
            seconds = time.monotonic() - started

    try:
        drained = drain(meanwhile=check_pruner)
        order = "it finished before the drain" if seconds else "the drain finished first"
        pruner.wait(600)
        check_pruner()
    finally:
        if pruner.poll() is None:
            pruner.kill()
    yield row(f"{sizes.many:,} being pruned", drained)
    yield f"Pruned {sizes.many / seconds:,.0f} rows a second meanwhile; {order}."
