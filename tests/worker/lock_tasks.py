"""Tasks that write while another connection holds SQLite's lock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from threading import Thread

from django.db import connection, transaction

from offload import task
from tests.models import Effect
from tests.worker.event_log import write as log


@task
def write(token: str) -> None:
    log("call", token)
    Effect.objects.create(token=token)


@task
def write_in_transaction(token: str) -> None:
    log("call", token)
    with transaction.atomic():
        if not Effect.objects.filter(token=token).exists():
            Effect.objects.create(token=token)


@task(atomic=True)
def write_atomically(token: str) -> None:
    Effect.objects.create(token=token)


@task
async def awrite(token: str) -> None:
    log("call", token)
    await Effect.objects.acreate(token=token)


@task
def write_and_meet_lock(token: str) -> None:
    write.func(token)
    _meet_lock(token)


@task
def write_close_and_meet_lock(token: str) -> None:
    write.func(token)
    connection.close()
    _meet_lock(token)


@task
def write_in_a_thread_and_meet_lock(token: str) -> None:
    log("call", token)
    Effect.objects.count()
    thread = Thread(target=_write_and_close, args=[token])
    thread.start()
    thread.join()
    _meet_lock(token)


def _write_and_close(token: str) -> None:
    Effect.objects.create(token=token)
    connection.close()


def _meet_lock(token: str) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        Effect.objects.create(token=f"{token} again")
