"""The cost of frequent statements on PostgreSQL, by EXPLAIN."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from load.job_rows import WORKER
from offload.store.records import Watermark

CLAIMED_JOBS = 500
"""Number of jobs that one claim asks for."""
MIN_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class StatementCost:
    """Pages that a statement accessed, and its milliseconds."""

    buffers: int
    ms: float

    def __str__(self) -> str:
        return f"{self.buffers:,} pages {self.ms:.1f} ms"


def claim_statement_cost(
    queues: list[str], jobs: int = CLAIMED_JOBS, above: int | None = None
) -> StatementCost:
    """Claim jobs as a worker does, and roll back.

    Args:
        queues: names of the queues.
        jobs: maximum number of jobs.
        above: claim only jobs of the first queue with at least this `run_after`, as with a
            watermark; None to start at the head of each queue.
    """
    parameters: dict[str, Any] = {
        "worker": WORKER,
        "backend": "default",
        "queues": queues,
        "sync_slots": jobs,
        "sync_per_queue": jobs,
        "async_slots": 200,
        "async_per_queue": 200,
    }
    if above is not None:
        watermark = Watermark(queues[0], is_async=False, priority=0, run_after=above, id=MIN_ID)
        parameters |= {f"watermark_{name}": [value] for name, value in watermark._asdict().items()}
    from offload.store.postgresql import claim_statement  # noqa: PLC0415  # needs the app registry

    ready = "ready" if above is None else "ready_above"
    return _explain(claim_statement(ready, has_caps=False), parameters)


def maintenance_statement_costs(worker: str) -> dict[str, StatementCost]:
    """Return the costs of the statements that a worker runs periodically."""
    by_worker = {"worker": worker}
    return {
        "held_jobs": _explain(_statement("held_jobs"), by_worker),
        "orphans": _explain(_statement("orphans"), {"rescuer": worker, "limit": 1000}),
        "ready_queues": _explain(_statement("ready_queues"), {"backend": "default"}),
    }


def _statement(name: str) -> str:
    from offload.store.statements import statement  # noqa: PLC0415  # needs the app registry

    return statement("postgresql", name)


def _explain(sql: str, parameters: Mapping[str, Any]) -> StatementCost:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        output = cursor.fetchone()[0]
        transaction.set_rollback(True)
    explained = (json.loads(output) if isinstance(output, str) else output)[0]
    plan = explained["Plan"]
    buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return StatementCost(buffers, explained["Execution Time"])
