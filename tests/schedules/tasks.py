"""Tasks of the tests of schedules. Their decorators declare none, which all workers would keep."""

from __future__ import annotations

from offload import Concurrency, Debounce, Unique, current_job, task


@task(schedulable=True)
def note(text: str = "") -> str:
    """Return the text and the tick."""
    tick = current_job().scheduled_for
    return f"{text} {tick and tick.isoformat()}"


@task(schedulable=True, priority=3, queue_name="mail", max_attempts=4, timeout=60, expires=90)
async def with_options() -> None:
    """Have options that the jobs of a schedule get."""


@task(schedulable=True, concurrency=Concurrency(2, key="{text}"))
def limited(text: str = "a") -> None:
    """Have a limit."""


@task
def not_schedulable() -> None:
    """Is for code only."""


@task(schedulable=True, unique=Unique())
def unique(text: str = "") -> None:
    """Has jobs with a unique key."""


@task(schedulable=True, unique=Unique(on_conflict="raise", within=3600))
def strict() -> None:
    """Has a key for an hour, and no second job meanwhile."""


@task(schedulable=True, unique=Debounce(60), expires=90)
def debounced() -> None:
    """Starts a minute after the last call."""


@task(schedulable=True, unique=Unique("{text}"), concurrency=Concurrency(2, key="{text}"))
def unique_and_limited(text: str = "a") -> None:
    """Has a key and a limit."""
