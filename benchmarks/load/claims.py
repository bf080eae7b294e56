"""What hot statements cost on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from load.rows import WORKER
from offload.store.statements import statement

ROOM = 500
"""Jobs that the claim asks for."""


@dataclass(frozen=True)
class Cost:
    """Pages that a statement touched, and milliseconds that it took."""

    buffers: int
    ms: float

    def __str__(self) -> str:
        return f"{self.buffers:,} pages {self.ms:.1f} ms"


def cost_of_claim(queues: list[str], room: int = ROOM) -> Cost:
    """Claim as an engine does, and take it back."""
    parameters = {
        "worker": WORKER,
        "backend": "default",
        "queues": queues,
        "threads": room,
        "threads_each": room,
        "slots": 200,
        "slots_each": 200,
    }
    return _cost(statement("postgresql", "claim"), parameters)


def cost_of_duties(worker: str) -> dict[str, Cost]:
    """Ask what an engine asks now and then."""
    held = {"worker": worker}
    return {
        "holdings": _cost(statement("any", "holdings"), held),
        "orphans": _cost(statement("postgresql", "orphans"), {"limit": 1000}),
        "ready_queues": _cost(statement("any", "ready_queues"), {"backend": "default"}),
    }


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
