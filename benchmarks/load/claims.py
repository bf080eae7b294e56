"""What hot statements cost on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from load.rows import WORKER
from offload.store.records import Watermark

ROOM = 500
"""Jobs that the claim asks for."""
LOWEST = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Cost:
    """Pages that a statement touched, and milliseconds that it took."""

    buffers: int
    ms: float

    def __str__(self) -> str:
        return f"{self.buffers:,} pages {self.ms:.1f} ms"


def cost_of_claim(queues: list[str], room: int = ROOM, above: int | None = None) -> Cost:
    """Claim as an engine does, and take it back.

    Args:
        queues: from which.
        room: for so many jobs.
        above: claim the jobs of the first queue whose `run_after` is not less, as behind a floor;
            None to begin at the head of each queue.
    """
    parameters: dict[str, Any] = {
        "worker": WORKER,
        "backend": "default",
        "queues": queues,
        "sync_slots": room,
        "sync_per_queue": room,
        "async_slots": 200,
        "async_per_queue": 200,
    }
    if above is not None:
        floor = Watermark(queues[0], is_async=False, priority=0, run_after=above, id=LOWEST)
        parameters |= {f"watermark_{name}": [value] for name, value in floor._asdict().items()}
    ready = _statement("postgresql", "ready" if above is None else "ready_above")
    return _cost(_statement("postgresql", "claim").replace("{ready}", ready), parameters)


def cost_of_duties(worker: str) -> dict[str, Cost]:
    """Ask what an engine asks now and then."""
    held = {"worker": worker}
    return {
        "held_jobs": _cost(_statement("any", "held_jobs"), held),
        "orphans": _cost(_statement("postgresql", "orphans"), {"limit": 1000}),
        "ready_queues": _cost(_statement("any", "ready_queues"), {"backend": "default"}),
    }


def _statement(dialect: str, name: str) -> str:
    from offload.store.statements import statement  # noqa: PLC0415  # needs the app registry

    return statement(dialect, name)


def _cost(sql: str, parameters: Mapping[str, Any]) -> Cost:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        told = cursor.fetchone()[0]
        transaction.set_rollback(True)
    found = (json.loads(told) if isinstance(told, str) else told)[0]
    plan = found["Plan"]
    buffers = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return Cost(buffers, found["Execution Time"])
