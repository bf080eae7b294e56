"""Tasks whose jobs are unique."""

from __future__ import annotations

from datetime import timedelta

from offload import Concurrency, Debounce, Throttle, Unique, task


@task(unique=Unique())
def of_arguments(number: int = 0, *, kind: str = "csv") -> None:
    """One of the same arguments."""


@task(unique=Unique("{shop}"))
def import_shop(shop: str, path: str = "") -> str:
    """One of a shop, until it has finished."""
    return path


@task(unique=Unique("{shop}", until="started"))
def until_started(shop: str, path: str = "") -> str:
    """One of a shop waits."""
    return path


@task(unique=Unique("{shop}", on_conflict="replace"))
def replaced(shop: str, path: str = "") -> str:
    """One of a shop, with the newest arguments."""
    return path


@task(unique=Unique("{shop}", on_conflict="raise"))
def refused(shop: str, path: str = "") -> None:
    """One of a shop; another call raises."""


@task(unique=Unique("{shop}", within=timedelta(hours=1)))
def within_an_hour(shop: str) -> None:
    """One of a shop in an hour."""


@task(unique=Debounce(5, key="{document}", maximum=60))
def debounced(document: int, text: str = "") -> str:
    """Five seconds after the last call, a minute after the first at most."""
    return text


@task(unique=Throttle(60, key="{feed}"))
def throttled(feed: int) -> None:
    """The first call of a minute."""


@task(unique=Unique("{shop}", name="nightly"))
def nightly_export(shop: str) -> None:
    """One of a shop, together with `nightly_import`."""


@task(unique=Unique("{shop}", name="nightly"))
def nightly_import(shop: str) -> None:
    """One of a shop, together with `nightly_export`."""


@task(
    unique=Unique("{shop}", on_conflict="replace"),
    concurrency=Concurrency(1, key="{customer}"),
    expires=60,
)
def limited(shop: str, customer: str) -> None:
    """One of a shop, and one at a time of each customer."""


@task(unique=Unique("{shop}"), max_attempts=3, backoff=lambda *_: 0.0)
def failing(shop: str) -> None:
    """Fail."""
    raise ValueError(shop)


@task(unique=Unique("{shop}", until="started"), concurrency=Concurrency(2))
def limited_until_started(shop: str) -> None:
    """One of a shop waits; two run at once."""


@task(unique=Unique("{shop}"))
def enqueues_itself(shop: str) -> bool:
    """Return whether a call with the same key makes another job."""
    return enqueues_itself.enqueue(shop).is_new


@task(unique=Debounce(0.004, key="{shop}", maximum=0.02))
def debounced_at_once(shop: str) -> None:
    """Milliseconds after the last call."""


@task(unique=Unique("{shop[0]}"))
def broken_key(shop: str) -> None:
    """A number has no first character."""
