"""What a database itself takes for the least: the ground on which all queues stand."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from arena.figures import ANY, Figures, quantile
from arena.plan import Plan
from arena.stores.postgresql import PostgreSQL
from arena.stores.sqlite import SQLite

WARM = 20
TABLE = "CREATE TABLE ground (id INTEGER PRIMARY KEY, text VARCHAR(100))"
ACTS = {"statement": "SELECT 1", "commit": "INSERT INTO ground VALUES ({}, 'x')"}
"""The shortest statement, and a row that is committed, each by the driver alone."""


def measure(store: SQLite | PostgreSQL, contender: str, plan: Plan, figures: Figures) -> None:
    """Time both acts, one after the other, and with pauses as between calls that are waited for."""
    with closing(store.connect()) as connection:
        connection.execute(TABLE)
        key = iter(range(10**9))
        for name, sql in ACTS.items():

            def act(sql: str = sql) -> None:
                connection.execute(sql.format(next(key))).close()

            for pause in ("at once", "after a pause"):
                times = _timed(act, plan.pickups, pauses=pause != "at once")
                figures.add(contender, ANY, f"{name} {pause}", (quantile(times, 0.5) or 0) * 1e6)


def _timed(act: Callable[[], Any], count: int, *, pauses: bool) -> list[float]:
    """Return the seconds that each call took."""
    pause = threading.Event()
    seconds = []
    for number in range(WARM + count):
        if pauses:
            pause.wait(random.uniform(0.05, 0.1))
        begun = time.perf_counter()
        act()
        if number >= WARM:
            seconds.append(time.perf_counter() - begun)
    return seconds
