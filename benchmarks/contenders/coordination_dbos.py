"""DBOS on PostgreSQL: durable workflows, queues divided by key, and schedules.

`python -m coordination_dbos` is its worker.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

from job_bodies import record_run

CONFIG: DBOSConfig = {
    "name": "bench",
    "system_database_url": os.environ["BENCH_DSN"],
    "application_version": "1",
    "executor_id": str(os.getpid()),
    "log_level": "ERROR",
    "sys_db_pool_size": 20,
    "scheduler_polling_interval_sec": 1.0,
}
_client: list[DBOSClient] = []


@DBOS.step()
def link(number: int) -> None:
    record_run(number, 0, time.time_ns())


@DBOS.workflow()
def run_chain(length: int) -> None:
    for number in range(length):
        link(number)


@DBOS.workflow()
def part(number: int) -> None:
    record_run(number, 0, time.time_ns())


@DBOS.workflow()
def run_fan_in(width: int) -> None:
    parts = [DBOS.enqueue_workflow("parts", part, number) for number in range(width)]
    for handle in parts:
        handle.get_result()
    record_run(width, 0, time.time_ns())


@DBOS.workflow()
def limited(number: int, key: int) -> None:
    record_run(number, key, time.time_ns())


@DBOS.workflow()
def tick(scheduled: datetime, key: Any) -> None:
    record_run(0, int(key), time.time_ns())


def prepare() -> None:
    DBOS(config=CONFIG)
    DBOS.launch()
    DBOS.register_queue("workflows", polling_interval_sec=0.1)
    DBOS.register_queue("parts", worker_concurrency=50, polling_interval_sec=0.1)
    DBOS.register_queue(
        "limited", partition_concurrency=1, worker_concurrency=50, polling_interval_sec=0.1
    )
    DBOS.destroy()


def open() -> None:  # noqa: A001  # the name of the interface
    _client.append(DBOSClient(system_database_url=os.environ["BENCH_DSN"]))


def chain(length: int) -> None:
    _enqueue("run_chain", length)


def fan_in(width: int) -> None:
    _enqueue("run_fan_in", width)


def limits(keys: int, per_key: int) -> None:
    for number in range(keys * per_key):
        key = number % keys
        options: EnqueueOptions = {
            "queue_name": "limited",
            "workflow_name": "limited",
            "queue_partition_key": str(key),
        }
        _client[0].enqueue(options, number, key)


def schedules(count: int, period: int) -> None:
    for key in range(count):
        _client[0].create_schedule(
            schedule_name=f"tick {key}",
            workflow_name="tick",
            schedule=f"*/{period} * * * * *",
            context=key,
        )


def _enqueue(name: str, size: int) -> None:
    _client[0].enqueue({"queue_name": "workflows", "workflow_name": name}, size)


if __name__ == "__main__":
    DBOS(config=CONFIG)
    DBOS.launch()
    threading.Event().wait()
