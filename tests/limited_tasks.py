"""Tasks with limits."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from offload import Concurrency, Fair, Fixed, Rate, current_job, task
from tests.worker.event_log import write

NUMBERS: list[int] = []
"""The calls of `tariff`."""


def tariff(shop_id: int) -> int:
    """Return how many jobs of a shop may run at once: as many as its number."""
    NUMBERS.append(shop_id)
    return shop_id


@task(concurrency=Concurrency(2, key="{customer}"))
def call_api(customer: str) -> None:
    """At most two at once of each customer."""


@task(concurrency=Concurrency(2, key="{customer}", total=5))
def with_total(customer: str) -> None:
    """At most five at once of all customers, too."""


@task(concurrency=Concurrency(2, key="{customer}", total=1))
def one_of_all(customer: str) -> None:
    """One at a time of all customers."""


@task(rate=Rate("3/m", burst=3))
def rated() -> None:
    """At most three at once."""


@task(fair="{customer}")
def fair(customer: str) -> None:
    """Customers take turns."""


def weight(customer: str) -> int:
    """Return how many jobs a customer starts in a turn: as many as its name has letters."""
    return len(customer)


@task(fair=Fair("{customer}", weight="tests.limited_tasks.weight"))
def weighted(customer: str) -> None:
    """Customers take turns, which are as long as their names."""


@task(fair=Fair("{customer}", weight=3))
def thrice(customer: str) -> None:
    """Each turn of a customer has three jobs."""


@task(concurrency=Concurrency(1))
def single() -> None:
    """One at a time."""


@task(concurrency=Concurrency(1))
async def asingle() -> None:
    """One at a time."""


@task(concurrency=Concurrency(1))
def one_at_a_time(path: str) -> None:
    """Run until a file exists; one at a time."""
    write("running", current_job().id)
    pause = threading.Event()
    while not Path(path).exists():
        pause.wait(0.01)


@task(rate=Rate("2/s", burst=1))
def twice_a_second() -> None:
    """Two starts in a second."""


@task(concurrency=Concurrency(1), max_attempts=2, backoff=Fixed(0))
def fails_once(moment: str) -> None:
    """Fail at the first attempt."""
    if current_job().attempt == 1:
        raise ValueError(moment)


@task(fair="{tenant}")
def by_tenant() -> None:
    """Tenants take turns."""


@task(concurrency=Concurrency("tests.limited_tasks.tariff", key="{shop_id}"))
def by_tariff(shop_id: int) -> None:
    """As many at once of each shop as its tariff says."""


shared = Concurrency(1, key="{account}", name="shared")


@task(concurrency=shared, queue_name="mail")
def shared_mail(account: str) -> None:
    """One at a time with `shared_slow`, which has another queue."""


@task(concurrency=shared, queue_name="slow")
async def shared_slow(account: str) -> None:
    """As `shared_mail`."""


@task(
    concurrency=Concurrency(3, key="{customer}", total=7),
    rate=Rate(400, per=1, key="{customer}", burst=5),
)
def everything(customer: str) -> None:
    """At most three at once of each customer, seven in all, and 400 a second of each."""


@task(concurrency=Concurrency(1, key="{order[shop]}"))
def of_order(order: dict[str, Any]) -> None:
    """One at a time of each shop."""
