"""Procrastinate on PostgreSQL: locks and periodic tasks."""

from __future__ import annotations

import os
import time

from procrastinate import App, PsycopgConnector

from job_bodies import record_run

CHUNK_SIZE = 1_000
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DSN"], min_size=1, max_size=20))


@app.task(name="limited")
async def limited(number: int, key: int) -> None:
    record_run(number, key, time.time_ns())


@app.task(name="tick")
async def tick(timestamp: int, key: int) -> None:
    record_run(0, key, time.time_ns())


PERIOD = os.environ.get("BENCH_PERIOD", "1")
for number in range(int(os.environ.get("BENCH_SCHEDULES", "0"))):
    app.periodic(  # the sixth field is seconds
        cron=f"* * * * * */{PERIOD}", periodic_id=f"tick {number}", task_kwargs={"key": number}
    )(tick)


async def prepare() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def open() -> None:  # noqa: A001  # the name of the interface
    await app.open_async()


async def limits(keys: int, per_key: int) -> None:
    for start in range(0, keys * per_key, CHUNK_SIZE):
        await app.job_manager.batch_defer_jobs_async(
            [
                limited.configure(lock=f"key {number % keys}").make_new_job(
                    number=number, key=number % keys
                )
                for number in range(start, min(start + CHUNK_SIZE, keys * per_key))
            ]
        )


async def schedules(count: int, period: int) -> None:
    """Do nothing: the worker has read them from the environment."""
