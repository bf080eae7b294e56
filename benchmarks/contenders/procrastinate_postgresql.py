"""Procrastinate on PostgreSQL, with its async API."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector

from job_bodies import record_start, work

POLL_SECONDS = 0.001
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DSN"], min_size=1, max_size=20))
local = threading.local()


@app.task(name="noop")
def noop(sent: int) -> int:
    record_start(sent)
    return 1


@app.task(name="anoop")
async def anoop(sent: int) -> int:
    record_start(sent)
    return 1


@app.task(name="mixed")
def mixed(sent: int, kind: str) -> int:
    record_start(sent)
    work(kind, _query)
    return 1


@app.task(name="big")
def big(sent: int, text: str) -> int:
    record_start(sent)
    return len(text)


async def prepare() -> None:
    with psycopg.connect(os.environ["BENCH_DSN"]) as connection:
        connection.execute("CREATE TABLE item (id serial PRIMARY KEY, name text)")
        connection.execute("INSERT INTO item (name) VALUES ('first')")
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def open() -> None:  # noqa: A001  # the name of the interface
    await app.open_async()


async def enqueue(kind: str, sent: int, text: str) -> int:
    if kind == "big":
        return await big.defer_async(sent=sent, text=text)
    task, arguments = _call(kind, sent)
    return await task.defer_async(**arguments)


async def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    calls = [_call(kind, sent) for kind in kinds]
    for task, group in groupby(calls, key=lambda call: call[0]):
        await task.batch_defer_async(*(arguments for _, arguments in group))


async def wait(job: int) -> None:
    get_status = app.job_manager.get_job_status_async
    while (await get_status(job)).value != "succeeded":  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(POLL_SECONDS)


async def unfinished() -> int:
    row = await app.connector.execute_query_one_async(
        "SELECT count(*) AS count FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
    )
    return int(row["count"])


def _call(kind: str, sent: int) -> tuple[Any, dict[str, Any]]:
    if kind in {"noop", "anoop"}:
        return {"noop": noop, "anoop": anoop}[kind], {"sent": sent}
    return mixed, {"sent": sent, "kind": kind}


def _query() -> object:
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["BENCH_DSN"], autocommit=True)
    return local.connection.execute("SELECT name FROM item WHERE id = 1").fetchone()
