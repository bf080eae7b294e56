"""Rows that somebody else's transaction holds, as long as a test likes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

from offload.models import Job

LONGEST = 60


@contextmanager
def transaction_elsewhere(act: Callable[[], Any]) -> Iterator[None]:
    """Do something in a transaction of another thread, which commits at the end of the block."""
    has_acted, may_commit = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                act()
                has_acted.set()
                may_commit.wait(LONGEST)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="transaction elsewhere")
    thread.start()
    try:
        assert has_acted.wait(LONGEST)
        yield
    finally:
        may_commit.set()
        thread.join()


def lock(identifier: str) -> Callable[[], None]:
    """Return what locks a job's row."""

    def run() -> None:
        Job.objects.select_for_update().get(pk=identifier)

    return run
