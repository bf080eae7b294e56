"""The shortest statement and the shortest commit of a database: lower bounds for every queue."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from comparison.measurements import ANY_CONFIG, Measurements, quantile
from comparison.plan import Plan
from comparison.stores.postgresql import PostgreSQL
from comparison.stores.sqlite import SQLite

WARM_UP_CALLS = 20
CREATE_TABLE = "CREATE TABLE baseline (id INTEGER PRIMARY KEY, text VARCHAR(100))"
OPERATIONS = {"statement": "SELECT 1", "commit": "INSERT INTO baseline VALUES ({}, 'x')"}
"""The shortest statement, and a committed row; both by the driver alone."""


def measure(
    store: SQLite | PostgreSQL, contender: str, plan: Plan, measurements: Measurements
) -> None:
    """Time both operations: in a tight loop, and with pauses like those between single jobs."""
    with closing(store.connect()) as connection:
        connection.execute(CREATE_TABLE)
        key = iter(range(10**9))
        for name, sql in OPERATIONS.items():

            def operation(sql: str = sql) -> None:
                connection.execute(sql.format(next(key))).close()

            for pause in ("at once", "after a pause"):
                times = _time_calls(operation, plan.pickups, pauses=pause != "at once")
                microseconds = (quantile(times, 0.5) or 0) * 1e6
                measurements.add(contender, ANY_CONFIG, f"{name} {pause}", microseconds)


def _time_calls(operation: Callable[[], Any], count: int, *, pauses: bool) -> list[float]:
    """Return the seconds that each call took, without those of the warm-up."""
    pause = threading.Event()
    seconds = []
    for number in range(WARM_UP_CALLS + count):
        if pauses:
            pause.wait(random.uniform(0.05, 0.1))
        started = time.perf_counter()
        operation()
        if number >= WARM_UP_CALLS:
            seconds.append(time.perf_counter() - started)
    return seconds
