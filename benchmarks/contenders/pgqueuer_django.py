"""PgQueuer in a Django project: the jobs are the same, but query with the ORM as everybody's do.

`python -m pgqueuer_django BATCH_SIZE` is a worker.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import django
import pgqueuer_postgresql
import uvloop
from asgiref.sync import sync_to_async
from django.db import connection
from pgqueuer_postgresql import (
    enqueue,
    enqueue_many,
    open,  # noqa: A004  # the name of the interface
    unfinished,
    wait,
    work,
)

if TYPE_CHECKING:
    from project.models import Item

__all__ = ["enqueue", "enqueue_many", "open", "prepare", "unfinished", "wait"]


async def prepare() -> None:
    await pgqueuer_postgresql.prepare()
    await sync_to_async(_create_item)()


def _create_item() -> None:
    item = _item()
    with connection.schema_editor() as editor:
        editor.create_model(item)
    item.objects.create(name="first")


async def _query() -> None:
    await _item().objects.aget(pk=1)


def _item() -> type[Item]:
    from project.models import Item  # noqa: PLC0415  # needs the app registry

    return Item


django.setup()

if __name__ == "__main__":
    uvloop.run(work(int(sys.argv[1]), _query))
