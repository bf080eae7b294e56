"""django-offload: workflows, limits and schedules."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django_tasks import open, prepare  # noqa: A004  # the names of the interface

from offload import schedules as stored_schedules
from offload import workflow
from project import coordinated_tasks as tasks

__all__ = ["open", "prepare"]
CHUNK_SIZE = 5_000


def chain(length: int) -> None:
    with workflow("chain") as flow:
        previous = flow.add(tasks.step, 0)
        for number in range(1, length):
            previous = flow.add(tasks.step, number).after(previous)


def fan_in(width: int) -> None:
    with workflow("fan-in") as flow:
        parts = [flow.add(tasks.step, number) for number in range(width)]
        flow.add(tasks.step, width).after(*parts)


def limits(keys: int, per_key: int) -> None:
    calls = [((number, number % keys), {}) for number in range(keys * per_key)]
    with transaction.atomic():
        for start in range(0, len(calls), CHUNK_SIZE):
            tasks.limited.enqueue_many(calls[start : start + CHUNK_SIZE])


def schedules(count: int, period: int) -> None:
    every = timedelta(seconds=period)
    with transaction.atomic():
        for key in range(count):
            stored_schedules.create(f"tick {key}", tasks.tick, every=every, kwargs={"key": key})
