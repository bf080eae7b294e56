"""Celery with Redis as broker and result backend: canvas and beat."""

from __future__ import annotations

import os
import time

from celery import Celery, chord
from celery import chain as chain_of

from job_bodies import record_run

app = Celery(
    "coordination_celery", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_RESULTS_URL"]
)
app.conf.update(task_serializer="json", result_serializer="json", broker_pool_limit=1)


@app.task
def step(number: int) -> None:
    record_run(number, 0, time.time_ns())


@app.task
def tick(key: int) -> None:
    record_run(0, key, time.time_ns())


# Beat reads its schedules when it starts.
app.conf.beat_schedule = {
    f"tick {key}": {
        "task": tick.name,
        "schedule": float(os.environ.get("BENCH_PERIOD", "1")),
        "args": (key,),
    }
    for key in range(int(os.environ.get("BENCH_SCHEDULES", "0")))
}


def prepare() -> None:
    pass


def open() -> None:  # noqa: A001  # the name of the interface
    app.connection_for_write().ensure_connection()


def chain(length: int) -> None:
    chain_of(*(step.si(number) for number in range(length))).apply_async()


def fan_in(width: int) -> None:
    chord((step.si(number) for number in range(width)), step.si(width)).apply_async()


def schedules(count: int, period: int) -> None:
    """Do nothing: beat has read them from the environment."""
