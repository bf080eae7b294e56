"""dj_queue on PostgreSQL: concurrency keys and recurring tasks."""

from __future__ import annotations

from dj_queue.api import schedule_recurring_task
from django_tasks import open, prepare  # noqa: A004  # the names of the interface

from project import coordinated_tasks as tasks

__all__ = ["open", "prepare"]
CHUNK_SIZE = 5_000


def limits(keys: int, per_key: int) -> None:
    backend = tasks.limited.get_backend()
    calls = [(tasks.limited, (number, number % keys), {}) for number in range(keys * per_key)]
    for start in range(0, len(calls), CHUNK_SIZE):
        backend.enqueue_all(calls[start : start + CHUNK_SIZE])


def schedules(count: int, period: int) -> None:
    for key in range(count):
        schedule_recurring_task(
            key=f"tick {key}",
            task_path=tasks.tick.module_path,
            schedule=f"*/{period} * * * * *",
            kwargs={"key": key},
        )
