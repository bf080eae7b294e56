"""Tasks with limits for the tests of offload.testing."""

from __future__ import annotations

from typing import Any

from offload import Concurrency, Rate, Snooze, task
from tests.testing.tasks import calls


@task(concurrency=Concurrency(1))
def one_at_a_time(value: Any) -> None:
    calls.append(value)


@task(concurrency=Concurrency(1))
async def aone_at_a_time(value: Any) -> None:
    calls.append(value)


@task(rate=Rate("1/h", burst=2))
def twice_at_once(value: Any) -> None:
    calls.append(value)


@task(concurrency=Concurrency(2, key="{tenant}"), queue_name="mail")
def of_tenant(tenant: str) -> None:
    calls.append(tenant)


@task(concurrency=Concurrency(1))
def snooze_once(value: Any) -> None:
    calls.append(value)
    if len(calls) == 1:
        raise Snooze(3600)


@task(concurrency=Concurrency(1), max_attempts=3)
def enqueue_another(value: int) -> None:
    calls.append(value)
    if value:
        enqueue_another.enqueue(value - 1)


@task(concurrency=Concurrency(1, key="{order[shop]}"))
def of_order(order: dict[str, int]) -> None:
    """One at a time of each shop."""
