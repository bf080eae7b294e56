"""Celery with Redis as broker and result backend; the query of a job goes to PostgreSQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import psycopg
import redis
from celery import Celery

from job_bodies import record_start, work

BROKER = os.environ["BENCH_URL"]
RESULTS = os.environ["BENCH_RESULTS_URL"]
local = threading.local()
results = redis.Redis.from_url(RESULTS)
sent_jobs = 0

app = Celery("celery_redis", broker=BROKER, backend=RESULTS)
app.conf.update(task_serializer="json", result_serializer="json", broker_pool_limit=1)


@app.task
def noop(sent: int) -> int:
    record_start(sent)
    return 1


@app.task
def mixed(sent: int, kind: str) -> int:
    record_start(sent)
    work(kind, _query)
    return 1


@app.task
def big(sent: int, text: str) -> int:
    record_start(sent)
    return len(text)


def prepare() -> None:
    with psycopg.connect(os.environ["BENCH_DSN"]) as connection:
        connection.execute("CREATE TABLE item (id serial PRIMARY KEY, name text)")
        connection.execute("INSERT INTO item (name) VALUES ('first')")


def open() -> None:  # noqa: A001  # the name of the interface
    app.connection_for_write().ensure_connection()


def enqueue(kind: str, sent: int, text: str) -> Any:
    return _send(kind, sent, text)


def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        for kind in kinds:
            _send(kind, sent, "", producer=producer)


def wait(result: Any) -> None:
    result.get(timeout=30)


def unfinished() -> int:
    return sent_jobs - int(results.dbsize())


def _send(kind: str, sent: int, text: str, **options: Any) -> Any:
    global sent_jobs  # noqa: PLW0603  # Celery stores no list of unfinished jobs
    sent_jobs += 1
    if kind == "big":
        return big.apply_async((sent, text), **options)
    if kind == "noop":
        return noop.apply_async((sent,), **options)
    return mixed.apply_async((sent, kind), **options)


def _query() -> object:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["BENCH_DSN"], autocommit=True)
    return local.connection.execute("SELECT name FROM item WHERE id = 1").fetchone()
