"""Tasks with limits whose numbers operators change."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from django.tasks import default_task_backend

from offload import Concurrency, Rate, task

_pause = Event().wait


def own_maximum(customer: str) -> int:
    return 3


@task(concurrency=Concurrency(1, name="holding"))
def hold(gate: str) -> None:
    """Run until a file appears; one at a time."""
    while not Path(gate).exists():
        _pause(0.01)


@task(rate=Rate("1/d", burst=2, key="{customer}", name="crm"))
def push(customer: str) -> None:
    """At most one a day of each customer, two of them at once."""


@task(rate=Rate("1/d"))
def clean() -> None:
    """Once a day."""


@task(concurrency=Concurrency(2, key="{customer}", total=3))
def import_orders(customer: str) -> None:
    """At most two at once of each customer, and three in all."""


@task(concurrency=Concurrency("tests.limits.tasks.own_maximum", key="{customer}"))
def by_tariff(customer: str) -> None:
    """At most as many at once as the customer pays for."""


nested = Concurrency(5, key="{customer}", name="nested")


@task(concurrency=nested)
def wait_for(customer: str, job: str) -> None:
    """Wait a moment for a job."""
    default_task_backend.get_result(job).wait(0.01)


@task(concurrency=nested)
async def await_for(customer: str, job: str) -> None:
    """Do what `wait_for` does."""
    result = await default_task_backend.aget_result(job)
    await result.wait_async(0.01)


@task(concurrency=Concurrency(5, key="{customer}", total=9, name="with_total"))
def wait_beside_total(customer: str, job: str) -> None:
    """Do what `wait_for` does; its limit counts all keys together, too."""
    default_task_backend.get_result(job).wait(0.01)


@task(fair="{customer}", concurrency=Concurrency(8), rate="100/s")
def convert(customer: str) -> None:
    """Customers take turns; eight at once, and 100 starts a second, of all of them."""


@task(fair="{customer}", rate="100/s")
def wait_in_turn(customer: str, job: str) -> None:
    """Do what `wait_for` does; its limit counts no running jobs."""
    default_task_backend.get_result(job).wait(0.01)
