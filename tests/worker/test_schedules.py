"""Workers fire schedules on time, and write those of the code when they start."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from offload import schedules
from offload.models import Job, Schedule
from offload.schedules.definitions import Schedulable, define
from offload.store import get_store
from offload.worker.schedules_in_code import SchedulesInCode
from offload.worker.upkeep.schedules import COMPARE_INTERVAL, ScheduleUpkeep
from tests.schedules import tasks
from tests.schedules.factories import make_due
from tests.worker.conftest import RunningWorker, StartWorker, until

SECOND = timedelta(seconds=1)


def test_a_worker_fires_at_the_time_of_the_tick(worker: RunningWorker) -> None:
    until(lambda: not worker.engine.poller.expects_jobs)
    start = timezone.now() + SECOND

    schedules.create("often", tasks.note, every=3600, start=start)

    job = until(lambda: Job.objects.filter(finished_at__isnull=False).first())
    assert job.scheduled_for == start
    assert timedelta() <= job.enqueued_at - start < SECOND
    assert job.return_value == f'" {start.isoformat()}"'


def test_a_worker_fires_what_was_missed_when_it_starts(start_worker: StartWorker) -> None:
    first = make_due(ago=timedelta(hours=3))

    start_worker()

    job = until(lambda: Job.objects.filter(finished_at__isnull=False).first())
    assert job.scheduled_for == first + timedelta(hours=3)


def test_a_broken_schedule_is_logged_and_stops_no_other(
    start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    make_due("broken")
    make_due("fine")
    Schedule.objects.filter(pk="broken").update(job="{")

    start_worker()

    until(lambda: Job.objects.filter(schedule="fine", finished_at__isnull=False).exists())
    assert "The schedule 'broken' cannot tick, and stops" in caplog.text


def test_a_worker_writes_the_schedules_of_the_code(worker: RunningWorker) -> None:
    row = until(lambda: Schedule.objects.filter(pk="leap days of the tests").first())

    assert (row.source, row.cron, row.retired_at) == ("code", "0 0 29 2 *", None)


class Code:
    """A worker without jobs, with code that changes.

    Args:
        loaded_at: when it was loaded.
        **expressions: those of its schedules, by name.
    """

    def __init__(self, *, loaded_at: int = 0, **expressions: str) -> None:
        self.now = 0.0
        self.loaded: SchedulesInCode | None = None
        pool: Any = SimpleNamespace(schedules_in_code=lambda: self.loaded)
        poller: Any = SimpleNamespace()
        self._upkeep = ScheduleUpkeep(
            get_store("default"), "default", pool, poller, clock=lambda: self.now
        )
        self._loaded_at = loaded_at
        self.load(**expressions)

    def load(self, *, is_complete: bool = True, **expressions: str) -> None:
        rows = [
            list(define(Schedulable(tasks.note, name, "code"), cron, {}))
            for name, cron in expressions.items()
        ]
        self.loaded = SchedulesInCode(rows, {}, is_complete, self._loaded_at)

    def keep(self) -> None:
        """Do what a worker does at its start and every few seconds."""
        self._upkeep.keep()


def expressions() -> dict[str, str]:
    """Return those of all schedules that tick."""
    return {one.name: one.when for one in schedules.list() if one.state == "active"}


@pytest.mark.django_db
def test_nothing_is_retired_before_the_code_is_loaded_or_if_a_part_is_missing() -> None:
    make_due("of the code")
    Schedule.objects.update(source="code")
    code = Code()

    code.loaded = None
    code.keep()
    code.load(is_complete=False)
    code.keep()
    assert schedules.get("of the code").state == "active"

    code.load()
    code.keep()
    assert schedules.get("of the code").state == "retired"


@pytest.mark.django_db
def test_old_and_new_code_do_not_overwrite_each_other(caplog: pytest.LogCaptureFixture) -> None:
    old = Code(loaded_at=1, nightly="0 3 * * *", gone="@daily")
    new = Code(loaded_at=2, nightly="0 4 * * *", added="@daily")
    caplog.set_level("INFO", "offload.worker")

    old.keep()
    new.keep()
    assert expressions() == {"nightly": "0 4 * * *", "added": "@daily"}
    assert "the definitions that older code wrote of the schedules 'nightly'." in caplog.text
    assert "does not have the schedules 'gone' any more; they are retired." in caplog.text

    old.load(nightly="0 3 * * *", gone="@daily", late="@daily")  # a module that was loaded late
    old.keep()
    new.keep()

    assert expressions() == {"nightly": "0 4 * * *", "added": "@daily", "late": "@daily"}


@pytest.mark.django_db
def test_old_code_says_once_which_of_its_schedules_do_not_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = Code(loaded_at=1, nightly="0 3 * * *", gone="@daily", kept="@daily")
    old.keep()
    Code(loaded_at=2, nightly="0 4 * * *", kept="@daily").keep()
    caplog.set_level("WARNING", "offload.worker")

    for _ in range(3):
        old.now += COMPARE_INTERVAL
        old.keep()

    (record,) = caplog.records
    assert "defines the schedules 'gone', 'nightly' otherwise, or does not" in record.message


@pytest.mark.django_db
def test_a_process_that_loads_the_same_code_again_does_not_write_it_again() -> None:
    old = Code(loaded_at=1, nightly="0 3 * * *")
    old.keep()
    Code(loaded_at=2, nightly="0 4 * * *").keep()

    assert old.loaded is not None
    old.loaded = old.loaded._replace(loaded_at=3)
    old.keep()

    assert expressions() == {"nightly": "0 4 * * *"}


@pytest.mark.django_db
def test_the_code_of_a_rollback_was_loaded_last_and_counts() -> None:
    Code(loaded_at=1, nightly="0 3 * * *").keep()
    Code(loaded_at=2, nightly="0 4 * * *").keep()
    Code(loaded_at=3, nightly="0 3 * * *").keep()
    Code(loaded_at=4, nightly="0 3 * * *").keep()
    Code(loaded_at=3, nightly="0 4 * * *").keep()  # a worker that starts slowly

    assert expressions() == {"nightly": "0 3 * * *"}
