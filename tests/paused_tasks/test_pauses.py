"""Pausing and resuming tasks, and what is known of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from offload import JobState, paused_tasks
from offload.models import Job, TaskPause
from offload.notifier import Hint
from offload.store import get_store
from offload.testing import immediate, recording, run_jobs
from tests import limited_tasks
from tests.tasks import add, anything

pytestmark = pytest.mark.django_db

ADD = "tests.tasks.add"


def test_a_pause_says_who_made_it_why_and_until_when() -> None:
    before = timezone.now()

    add.pause(reason=" Bug 17 ", until=timedelta(hours=1), changed_by="ada")

    task = paused_tasks.get(add)
    assert (task.path, task.is_paused) == (ADD, True)
    assert (task.reason, task.changed_by, task.is_reason_public) == ("Bug 17", "ada", False)
    assert task.paused_at is not None
    assert before <= task.paused_at <= timezone.now()
    assert task.paused_until == task.paused_at + timedelta(hours=1)
    assert paused_tasks.list() == [task]


def test_a_task_is_paused_and_resumed_by_its_path() -> None:
    task = paused_tasks.pause(ADD, reason="Bug 17", public=True)

    assert task == paused_tasks.get(add)
    assert (task.is_paused, task.is_reason_public) == (True, True)
    assert not paused_tasks.resume(ADD).is_paused
    assert paused_tasks.list() == []


def test_a_second_pause_replaces_the_first() -> None:
    add.pause(reason="one", until=timedelta(hours=1), public=True)

    add.pause(reason="two")

    task = paused_tasks.get(add)
    assert (task.reason, task.paused_until, task.is_reason_public) == ("two", None, False)
    assert TaskPause.objects.count() == 1


def test_a_resumed_task_keeps_nothing_of_its_pause() -> None:
    unpaused = paused_tasks.get(add)
    add.pause(reason="bug", until=timedelta(hours=1), public=True, changed_by="ada")

    add.resume()
    assert paused_tasks.get(add) == unpaused
    assert paused_tasks.resume(add) == unpaused


def test_a_pause_ends_by_itself() -> None:
    add.pause(until=timedelta(hours=1))
    TaskPause.objects.update(paused_until=timezone.now() - timedelta(microseconds=1))

    assert not paused_tasks.get(add).is_paused
    assert get_store("default").rules("default").tasks == {}


def test_a_naive_end_is_in_the_current_time_zone() -> None:
    end = datetime(2100, 1, 1, 12, 0)  # noqa: DTZ001  # as an operator writes it

    with timezone.override("Asia/Tokyo"):
        task = paused_tasks.pause(add, until=end)

    assert task.paused_until == datetime(2100, 1, 1, 3, 0, tzinfo=UTC)


def test_a_pause_of_one_backend_is_none_of_another() -> None:
    add.pause()

    assert get_store("default").rules("other").tasks == {}


def test_a_pause_is_part_of_the_callers_transaction() -> None:
    with transaction.atomic():
        add.pause()
        transaction.set_rollback(True)

    assert not paused_tasks.get(add).is_paused


def test_workers_are_told_of_a_pause_and_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Hint] = []
    monkeypatch.setattr(
        "offload.store.pauses.publish_after_commit", lambda _using, *hints: sent.extend(hints)
    )

    add.pause()
    add.resume()

    assert sent == [Hint.QUEUES, Hint.QUEUES]


def test_a_task_that_the_code_does_not_have_cannot_be_paused_but_resumed() -> None:
    with pytest.raises(LookupError, match=r"no task 'tests.tasks.ad'\. Did you mean 'add'\?"):
        paused_tasks.pause("tests.tasks.ad")
    add.pause()
    TaskPause.objects.update(task_path="tests.tasks.removed")

    assert [task.path for task in paused_tasks.list()] == ["tests.tasks.removed"]
    assert not paused_tasks.resume("tests.tasks.removed").is_paused
    assert paused_tasks.list() == []


def test_a_task_whose_module_fails_can_be_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("offload.paused_tasks.status.find_task", fail)

    assert paused_tasks.pause("shop.tasks.broken").is_paused


def test_a_backend_that_is_not_ours_pauses_no_tasks() -> None:
    dummy = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    with (
        override_settings(TASKS=dummy),
        pytest.raises(ImproperlyConfigured, match="not a backend of django-offload"),
    ):
        add.pause()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"reason": None}, TypeError, "reason must be text, not None"),
        ({"changed_by": "x" * 151}, ValueError, "more than 150 characters"),
        ({"public": True}, ValueError, "public=True shows the reason"),
        ({"until": 60}, TypeError, "a datetime, or a timedelta .* not 60"),
        ({"until": timedelta(0)}, ValueError, "until must be in the future"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        add.pause(**arguments)

    assert not TaskPause.objects.exists()


# --- in tests of projects -----------------------------------------------------------------------


def test_run_jobs_leaves_the_jobs_of_a_paused_task() -> None:
    first = add.using(priority=5).enqueue(1)
    limited = limited_tasks.single.enqueue()
    later = add.using(run_after=timedelta(hours=1)).enqueue(1)
    other = anything.enqueue()
    add.pause()
    limited_tasks.single.pause()

    assert [job.id for job in run_jobs(include_scheduled=True)] == [other.id]
    assert run_jobs() == []
    assert paused_tasks.get(add).put_aside == 1
    add.resume()
    limited_tasks.single.resume()
    ran = {job.id: job.attempts for job in run_jobs(include_scheduled=True)}
    assert ran == {first.id: 1, limited.id: 1, later.id: 1}
    assert not Job.objects.exclude(state=JobState.SUCCESSFUL).exists()


def test_the_time_of_a_test_ends_a_pause() -> None:
    job = add.enqueue(1)
    add.pause(until=timedelta(hours=1))
    assert run_jobs() == []
    TaskPause.objects.update(paused_until=timezone.now() - timedelta(microseconds=1))

    assert [ran.id for ran in run_jobs()] == [job.id]


@pytest.mark.django_db(databases=[])
def test_recorded_jobs_of_a_paused_task_wait() -> None:
    with recording():
        paused = add.enqueue(1)
        other = anything.enqueue()
        add.pause(until=timedelta(hours=1))

        assert paused_tasks.get(add).put_aside == 1
        assert [job.id for job in run_jobs(include_scheduled=True)] == [other.id]
        add.resume()
        assert [job.id for job in run_jobs()] == [paused.id]
        add.pause()
    with recording():
        assert paused_tasks.list() == []


@pytest.mark.django_db(databases=[])
def test_jobs_of_a_paused_task_do_not_run_immediately() -> None:
    with immediate():
        add.pause()
        result = add.enqueue(1)
        assert result.state == JobState.READY
        add.resume()
        run_jobs()
        result.refresh()
        assert result.state == JobState.SUCCESSFUL
