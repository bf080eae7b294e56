"""The coordinated jobs as tasks of django.tasks, for the backends that can coordinate them."""

from __future__ import annotations

import os
import time

from job_bodies import record_run

if os.environ["BENCH_PEER"] == "offload":
    from offload import Concurrency, task

    limited_task = task(concurrency=Concurrency(1, key="{key}"))
    scheduled_task = task(schedulable=True)
else:
    from dj_queue.api import concurrency
    from django.tasks import task

    scheduled_task = task

    def limited_task(function):  # type: ignore[no-untyped-def]
        return task(concurrency(key="{key}", limit=1)(function))


@task
def step(number: int) -> None:
    record_run(number, 0, time.time_ns())


@limited_task
def limited(number: int, key: int) -> None:
    record_run(number, key, time.time_ns())


@scheduled_task
def tick(key: int) -> None:
    record_run(0, key, time.time_ns())
