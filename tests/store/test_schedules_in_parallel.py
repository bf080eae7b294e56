"""Schedules while many connections look for those that are due at once: each tick is one job."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection

from offload.models import Job, Schedule
from offload.store import get_store
from offload.timestamps import now_microseconds, to_datetime
from tests.schedules.factories import make

WORKERS = 8
TICKS = 200
EVERY = timedelta(seconds=10)
SPEED = 1_000

pytestmark = pytest.mark.django_db(transaction=True)


class Workers:
    """Threads that fire the schedules until none has a tick left."""

    def __init__(self) -> None:
        self._is_done = threading.Event()
        self.fired: Counter[int] = Counter()

    def run(self) -> None:
        with ThreadPoolExecutor(WORKERS) as threads:
            for future in [threads.submit(self._fire, worker) for worker in range(WORKERS)]:
                future.result()

    def _fire(self, worker: int) -> None:
        store = get_store("default")
        store.dedicate_connection()
        try:
            while not self._is_done.is_set():
                try:
                    with store.clock_of_this_process():
                        fired = store.fire_schedules()
                except OperationalError:  # the write lock of SQLite was held for too long
                    continue
                self.fired[worker] += fired.jobs
                if fired.next_in is None:
                    self._is_done.set()
        finally:
            connection.close()


@pytest.fixture
def _fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of this process run a thousand times as fast."""
    start, real = time.time_ns(), time.monotonic_ns()

    def time_ns() -> int:
        return start + SPEED * (time.monotonic_ns() - real)

    monkeypatch.setattr("offload.timestamps.time", SimpleNamespace(time_ns=time_ns))


@pytest.mark.usefixtures("_fast_clock")
def test_eight_workers_make_one_job_of_each_of_200_ticks() -> None:
    first = to_datetime(now_microseconds()).replace(microsecond=0) + EVERY
    last = first + (TICKS - 1) * EVERY
    options = {"catch_up": "all", "overlap": "allow"}
    with get_store("default").clock_of_this_process():
        make("often", every=EVERY, start=first, end=last, **options)
    Schedule.objects.update(next_tick_at=first, next_run_at=first)  # making it took some ticks
    workers = Workers()

    workers.run()

    ticks = list(Job.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True))
    assert ticks == [first + number * EVERY for number in range(TICKS)]
    assert workers.fired.total() == TICKS
    assert len(workers.fired) > 1
    assert Schedule.objects.get().skipped == 0
