"""Scenes in which several parties work on one queue."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from django.db import connection

from load import rows
from load.claims import ROOM, Cost, cost_of_claim, cost_of_duties
from load.database import ask, empty, settle
from load.drain import best_drain, drain
from load.pickup import pick_up
from load.pin import pinned
from load.sizes import Sizes, line

LOOKS = 8
"""How often a claim is looked at while a queue is drained."""


def held_open(sizes: Sizes) -> Iterator[str]:
    """Drain while somebody holds a transaction open: dead entries stay in the indexes."""
    usual = best_drain(sizes, fresh=True)
    empty()
    rows.queued(sizes.pinned)
    settle()
    progress = rows.Progress(sizes.pinned)
    explains = connection.vendor == "postgresql"
    seen: list[tuple[int, Cost, Cost]] = []
    duties: dict[str, Cost] = {}

    def look() -> None:
        claimed = progress.claimed()
        # Taking a claim back leaves dead rows too, so it is done only now and then.
        is_time = claimed >= len(seen) * sizes.pinned // LOOKS
        if explains and is_time and claimed < sizes.pinned - 1000:
            above = cost_of_claim(["default"], above=progress.first())
            seen.append((claimed, above, cost_of_claim(["default"])))

    with pinned():
        drained = drain(meanwhile=look)
        if explains:
            duties = cost_of_duties(ask("SELECT worker FROM offload_job LIMIT 1")[0][0])
        yield line("a transaction held open", drained, pick_up(sizes.samples), usual)
    if explains:
        for place, column in (("above its floor", 1), ("from the head of the queue", 2)):
            told = "; ".join(f"after {look[0]:,} jobs {look[column]}" for look in seen)
            yield f"One claim of {ROOM} {place} while a transaction is held open: {told}."
        yield "And then: " + "; ".join(f"{name} {cost}" for name, cost in duties.items()) + "."


def engines(sizes: Sizes) -> Iterator[str]:
    """Eight engines take from one queue."""
    if connection.vendor == "sqlite":
        return
    empty()
    rows.queued(sizes.jobs)
    settle()
    before = _deadlocks()
    drained = drain(engines=8, processes=1)
    yield line("8 engines of 1 process", drained)
    shares = sorted(n for (n,) in ask("SELECT COUNT(*) FROM offload_job GROUP BY worker"))
    claims = ask("SELECT COUNT(DISTINCT last_attempted_at) FROM offload_job")[0][0]
    twice = ask("SELECT COUNT(*) FROM offload_job WHERE fence <> 1")[0][0]
    yield (
        f"8 engines: {shares[0]:,} to {shares[-1]:,} jobs each, {_deadlocks() - before} deadlocks, "
        f"{sizes.jobs / claims:.0f} jobs by each claim, "
        f"{twice} jobs handed back and claimed again."
    )


def _deadlocks() -> int:
    if connection.vendor == "mysql":
        return int(ask("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1])
    ask("SELECT pg_stat_clear_snapshot()")
    sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(ask(sql)[0][0])


def queues(sizes: Sizes) -> Iterator[str]:
    """A hundred queues: named by the engine, then found by it."""
    for names in ([f"queue{number}" for number in range(100)], []):
        empty()
        rows.queued(sizes.jobs, queues=100)
        settle()
        allowed = ["default", *names] if names else []  # a task names its own queue
        how = "named" if names else "not named"
        if connection.vendor == "postgresql" and names:
            yield f"One claim of {ROOM} from 100 queues: {cost_of_claim(names)}."
        yield line(f"100 queues, {how}", drain(queues=json.dumps(allowed)))


def pruning(sizes: Sizes) -> Iterator[str]:
    """Prune old jobs while others are drained."""
    empty()
    rows.finished(sizes.many, days_ago=20)
    rows.queued(sizes.jobs)
    settle()
    command = [sys.executable, "-m", "django", "offload_prune", "--older-than=10"]
    pruner = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    begun, took = time.monotonic(), 0.0

    def look() -> None:
        nonlocal took
        if not took and pruner.poll() is not None:
            took = time.monotonic() - begun

    try:
        drained = drain(meanwhile=look)
        when = "it ended before the drain" if took else "the drain ended first"
        pruner.wait(600)
        look()
    finally:
        if pruner.poll() is None:
            pruner.kill()
    yield line(f"{sizes.many:,} being pruned", drained)
    yield f"Pruned {sizes.many / took:,.0f} rows a second beside that; {when}."
