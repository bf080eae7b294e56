"""Huey on SQLite: with its default (synchronous=FULL), or without fsync (BENCH_FSYNC=no)."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

from huey import SqliteHuey

from job_bodies import record_start, work

PATH = os.environ["BENCH_DATABASE"]
huey = SqliteHuey(filename=PATH, fsync=False if os.environ.get("BENCH_FSYNC") == "no" else None)
local = threading.local()
sent_jobs = 0


@huey.task()
def noop(sent: int) -> int:
    record_start(sent)
    return 1


@huey.task()
def mixed(sent: int, kind: str) -> int:
    record_start(sent)
    work(kind, _query)
    return 1


@huey.task()
def big(sent: int, text: str) -> int:
    record_start(sent)
    return len(text)


def prepare() -> None:
    connection = sqlite3.connect(PATH)
    connection.execute("CREATE TABLE item (id integer PRIMARY KEY, name text)")
    connection.execute("INSERT INTO item (name) VALUES ('first')")
    connection.commit()
    connection.close()


def open() -> None:  # noqa: A001  # the name of the interface
    huey.pending_count()


def enqueue(kind: str, sent: int, text: str) -> Any:
    global sent_jobs  # noqa: PLW0603  # Huey stores no list of unfinished jobs
    sent_jobs += 1
    if kind == "big":
        return big(sent, text)
    return noop(sent) if kind == "noop" else mixed(sent, kind)


def enqueue_many(kinds: Sequence[str], sent: int) -> None:
    for kind in kinds:
        enqueue(kind, sent, "")


def wait(result: Any) -> None:
    result.get(blocking=True, timeout=30)


def unfinished() -> int:
    return sent_jobs - int(huey.result_count())


def _query() -> object:
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(PATH)
    return local.connection.execute("SELECT name FROM item WHERE id = 1").fetchone()
