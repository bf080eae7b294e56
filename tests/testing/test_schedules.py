"""Projects test what their schedules enqueue, by any clock."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import freezegun
import pytest
import time_machine

import tests.tasks  # noqa: F401  # its schedule is declared before a test forgets all
from offload import schedule, schedules
from offload.schedules import decorator
from offload.testing import assert_scheduled, immediate, recording, run_jobs, run_schedules
from tests.schedules import tasks

pytestmark = pytest.mark.django_db

THREE = datetime(2026, 3, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _nightly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorator, "_declared", defaultdict(list))
    schedule("0 3 * * *", name="nightly", timezone="UTC", kwargs={"text": "a"})(tasks.note)
    schedule("@hourly", name="hourly", timezone="UTC", priority=5)(tasks.limited)
    schedule("61 * * * *", name="broken")(tasks.note)


def test_what_ticks_at_a_time_is_enqueued_and_runs() -> None:
    results = run_schedules(at=THREE)

    assert [result.task.module_path for result in results] == [
        tasks.limited.module_path,
        tasks.note.module_path,
    ]
    assert results[0].task.priority == 5
    values = [result.return_value for result in run_jobs()]
    assert values == [None, f"a {THREE.isoformat()}"]


def test_nothing_is_enqueued_at_another_time() -> None:
    assert run_schedules(at=THREE + timedelta(minutes=1)) == []


@pytest.mark.parametrize("library", [freezegun.freeze_time, time_machine.travel])
def test_by_default_it_is_now_by_the_clock_of_the_test(library: type) -> None:
    with library(THREE):
        (_, nightly) = run_schedules()
    with library(THREE + timedelta(seconds=5)):
        assert run_schedules() == []
    assert nightly.args == []
    assert nightly.kwargs == {"text": "a"}


def test_a_tick_is_skipped_while_the_last_job_waits() -> None:
    assert len(run_schedules(at=THREE)) == 2
    assert run_schedules(at=THREE + DAY) == []
    run_jobs()
    assert len(run_schedules(at=THREE + 2 * DAY)) == 2


def test_schedules_made_at_run_time_tick_and_paused_ones_do_not() -> None:
    schedules.create("made", tasks.note, "0 3 * * *", timezone="UTC")
    run_schedules(at=THREE + timedelta(minutes=1))  # writes those of the code
    schedules.get("hourly").pause()

    assert len(run_schedules(at=THREE)) == 2


def test_backends_for_tests_record_and_run_them() -> None:
    with recording():
        results = run_schedules(at=THREE)
        assert len(results) == 2
        assert f"a {THREE.isoformat()}" in [result.return_value for result in run_jobs()]
    with immediate():
        assert [result.is_finished for result in run_schedules(at=THREE)] == [True, True]


def test_a_task_is_scheduled() -> None:
    assert_scheduled(tasks.note)
    assert_scheduled(tasks.note, "0 3 * * *", name="nightly", at=THREE)
    assert_scheduled(tasks.limited, at=THREE)


def test_the_error_lists_the_schedules_that_the_task_has() -> None:
    with pytest.raises(AssertionError, match=r"has no schedule with cron=0 4 \* \* \*") as caught:
        assert_scheduled(tasks.note, "0 4 * * *")

    assert "nightly: 0 3 * * * (UTC), next 20" in str(caught.value)
    assert "its minute is not valid" in str(caught.value)
    with pytest.raises(AssertionError, match="It has:\n  none"):
        assert_scheduled(tasks.not_schedulable)
    with pytest.raises(AssertionError, match="at=2026-03-01"):
        assert_scheduled(tasks.note, at=THREE + timedelta(hours=1))
