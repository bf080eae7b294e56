"""PgQueuer on PostgreSQL with async functions, its best case; it stores no results.

`python -m pgqueuer_postgresql BATCH_SIZE` is a worker. PgQueuer's own command does not start
with the newest version of a library that it requires.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries
from pgqueuer.core.completion import CompletionWatcher

from job_bodies import awork, record_start

DSN = os.environ["BENCH_DSN"]
connected: dict[str, Any] = {}


async def prepare() -> None:
    connection = await asyncpg.connect(DSN)
    await connection.execute("CREATE TABLE item (id serial PRIMARY KEY, name text)")
    await connection.execute("INSERT INTO item (name) VALUES ('first')")
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def open() -> None:  # noqa: A001  # the name of the interface
    connected["queries"] = Queries(AsyncpgDriver(await asyncpg.connect(DSN)))


async def enqueue(kind: str, sent: int, text: str) -> Any:
    entrypoint = kind if kind == "noop" else "mixed"
    (job,) = await connected["queries"].enqueue(entrypoint, _payload(kind, sent, text))
    return job


async def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    await connected["queries"].enqueue(
        ["noop" if kind in {"noop", "anoop"} else "mixed" for kind in kinds],
        [_payload(kind, sent, "") for kind in kinds],
        [0] * len(kinds),
    )


async def wait(job: Any) -> None:
    if "watcher" not in connected:
        stack = AsyncExitStack()
        driver = AsyncpgDriver(await asyncpg.connect(DSN))
        watcher = CompletionWatcher(driver, queries=Queries(driver))
        connected["watcher"] = await stack.enter_async_context(watcher)
    await connected["watcher"].wait_for(job)


async def unfinished() -> int:
    connection = connected["queries"].driver
    (row,) = await connection.fetch("SELECT count(*) AS count FROM pgqueuer")
    return int(row["count"])


def _payload(kind: str, sent: int, text: str) -> bytes:
    return f"{sent}|{kind}|{text}".encode()


async def work(batch: int, query: Callable[[], Awaitable[object]]) -> None:
    """Run jobs until SIGTERM."""
    queuer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(DSN))

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        record_start(int(job.payload.partition(b"|")[0]))

    @queuer.entrypoint("mixed")
    async def mixed(job: Job) -> None:
        sent, kind, _ = job.payload.decode().split("|", 2)
        record_start(int(sent))
        await awork(kind.removeprefix("async "), query)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queuer.shutdown.set)
    await queuer.run(batch_size=batch)


async def _query() -> None:
    pool = await _pool()
    await pool.fetch("SELECT name FROM item WHERE id = 1")


@cache
def _pool() -> Any:
    return asyncio.ensure_future(asyncpg.create_pool(DSN, min_size=1, max_size=4))


if __name__ == "__main__":
    uvloop.run(work(int(sys.argv[1]), _query))
