"""Databases without hints."""

from __future__ import annotations

import pytest
from django.db import connection

from offload.notifier import Hint, get_notifier
from offload.notifier.polling import PollingNotifier
from offload.notifier.sqlite import SQLiteNotifier


def test_polling_receives_nothing_and_has_no_descriptor(listen):
    notifier = PollingNotifier()
    listener = listen(notifier, Hint.WORK)
    notifier.notify(Hint.WORK)

    assert (listener.fileno(), listener.receive(), listener.changed()) == (None, set(), False)
    assert listener.check_interval <= 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite")
def test_a_database_in_memory_is_polled(monkeypatch):
    assert isinstance(get_notifier("default"), SQLiteNotifier)
    monkeypatch.setitem(connection.settings_dict, "NAME", "file:x?mode=memory&cache=shared")
    assert isinstance(get_notifier("default"), PollingNotifier)
