"""Rows that are locked by a transaction of another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

from offload.models import Job

MAX_LOCK_SECONDS = 60


@contextmanager
def transaction_elsewhere(act: Callable[[], Any]) -> Iterator[None]:
    """Call `act` in a transaction of another thread, which commits at the end of the block."""
    has_acted, may_commit = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                act()
                has_acted.set()
                may_commit.wait(MAX_LOCK_SECONDS)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="transaction elsewhere")
    thread.start()
    try:
        assert has_acted.wait(MAX_LOCK_SECONDS)
        yield
    finally:
        may_commit.set()
        thread.join()


def lock(identifier: str) -> Callable[[], None]:
    """Return a function that locks a job's row."""

    def run() -> None:
        Job.objects.select_for_update().get(pk=identifier)

    return run
