"""The tasks of most tests."""

from __future__ import annotations

import asyncio
from typing import Any

from django.tasks import Task
from django.tasks import task as django_task

from offload import Concurrency, Fixed, Retry, Snooze, schedule, task
from offload.process_starts import call_at_start
from tests.worker.event_log import write


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task
async def aadd(a: int, b: int = 0) -> int:
    await asyncio.sleep(0)
    return a + b


@django_task(queue_name="mail")
def plain(value: Any) -> Any:
    return value


@task
def anything(*args: Any, **kwargs: Any) -> None:
    """Take any arguments."""


@task(takes_context=True)
def attempt_number(context: Any) -> int:
    return int(context.attempt)


@task
def fail(message: str = "no") -> None:
    raise ValueError(message)


@task(max_attempts=3, backoff=Fixed(0))
def fail_thrice() -> None:
    raise ValueError("again")


@task(concurrency=Concurrency(2))
def two_at_once() -> None: ...


@schedule("0 0 29 2 *", name="leap days of the tests")
@task
def on_leap_days() -> None: ...


@task(max_attempts=3, takes_context=True)
def succeed_on_second(context: Any) -> str:
    if context.attempt < 2:
        raise Retry(after=0)
    return "done"


@task(takes_context=True)
def snooze_once(context: Any) -> str:
    from offload.models import Job  # noqa: PLC0415  # models need the app registry

    if Job.objects.get(pk=context.task_result.id).fence < 2:
        raise Snooze(0)
    return "rested"


def send(address: str) -> str:
    return f"sent to {address}"


send_later = task(send, queue_name="mail")
"""A task whose function keeps its own name and stays callable."""


def weigh(text: str) -> int:
    return len(text)


plain_object = Task(func=weigh, priority=0, backend="default", queue_name="default", run_after=None)


@call_at_start
def on_process_start(is_first: bool) -> None:
    write("process-start", str(is_first))
