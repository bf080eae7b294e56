"""Hints on SQLite."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from offload.notifier import Hint, get_notifier
from tests.tasks import add

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite"),
]


def test_a_row_written_without_a_hint_is_noticed(listen):
    listener = listen(get_notifier("default"), Hint.WORK)
    listener.changed()
    assert not listener.changed()

    def write() -> None:
        with transaction.atomic():
            add.enqueue(1)
        connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()

    assert listener.changed()
    assert not listener.changed()
