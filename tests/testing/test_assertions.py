"""assert_enqueued and its kin, wherever the jobs are kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from unittest.mock import ANY

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from offload import JobState
from offload.testing import (
    assert_enqueued,
    assert_enqueues,
    assert_not_enqueued,
    enqueued_jobs,
    recording,
    run_jobs,
)
from tests import backport_tasks
from tests import tasks as common
from tests.testing import tasks
from tests.testing.tasks import note


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(autouse=True, params=["database", "memory"])
def _place(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "database":
        request.getfixturevalue("db")
        yield
        return
    with recording():
        yield


def fails(expected: str) -> Any:
    return pytest.raises(AssertionError, match=expected)


def test_an_enqueued_job_is_found_and_returned():
    result = note.enqueue(1)

    (found,) = assert_enqueued(note)

    assert found.id == result.id
    assert found.args == [1]
    with fails("Expected: no job of tests.testing.tasks.note. Found: 1"):
        assert_not_enqueued(note)


def test_a_job_of_another_task_does_not_count():
    note.enqueue(1)

    assert_not_enqueued(tasks.anote)
    with fails("Expected: at least one job of tests.testing.tasks.anote. Found: 0"):
        assert_enqueued(tasks.anote)


def test_without_a_task_any_job_counts():
    assert_not_enqueued()
    note.enqueue()

    with fails("Expected: no job of any task. Found: 1"):
        assert_not_enqueued()


def test_the_failure_lists_what_was_enqueued_instead():
    note.using(queue_name="mail", priority=3, run_after=timedelta(hours=1)).enqueue(1, value="x")
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(note, count=2, args=[2])

    assert str(caught.value) == (
        "Expected: 2 jobs of tests.testing.tasks.note with args=[2]. Found: 0.\n"
        "Enqueued were (1):\n"
        "  tests.testing.tasks.note(1, value='x')  "
        "queue_name='mail', priority=3, run_after=1:00:00, scheduled"
    )


def test_the_failure_does_not_list_all_of_very_many():
    note.enqueue_many([((number,), {}) for number in range(25)])

    with fails(r"(?s)Enqueued were \(25\):.*note\(19\)[^(]*\n  \.\.\. and 5 more$"):
        assert_enqueued(common.fail)


def test_the_failure_says_if_nothing_was_enqueued():
    with fails("Nothing was enqueued"):
        assert_enqueued(note)


@pytest.mark.parametrize(
    ("same", "other"),
    [
        ({"args": [1, 2]}, {"args": [1]}),
        ({"args": (1, 2)}, {"args": (2, 1)}),
        ({"args": [ANY, 2]}, {"args": [ANY, 1]}),
        ({"kwargs": {"value": {"1": (ANY, None)}}}, {"kwargs": {"value": {"1": (ANY, 1)}}}),
        ({"kwargs": {"value": {"1": ["red", None]}}}, {"kwargs": {}}),
        ({"kwargs": {"value": {1: (Colour.RED, None)}}}, {"kwargs": {"value": {2: ANY}}}),
        ({"kwargs": {"value": ANY}}, {"kwargs": {"value": ANY, "more": ANY}}),
        ({"queue_name": "mail"}, {"queue_name": "default"}),
        ({"priority": 7}, {"priority": 0}),
        ({"run_after": timedelta(hours=1)}, {"run_after": timedelta(hours=2)}),
        ({"count": 1}, {"count": 2}),
        ({"count": 1}, {"count": 0}),
    ],
)
def test_conditions(same, other):
    deferred = note.using(queue_name="mail", priority=7, run_after=timedelta(hours=1))
    deferred.enqueue(1, 2, value={1: (Colour.RED, None)})

    assert len(assert_enqueued(note, **same)) == 1
    with fails("Found: "):
        assert_enqueued(note, **other)


def test_the_moment_from_which_it_may_run():
    moment = datetime.now(UTC) + timedelta(days=1)
    note.using(run_after=moment).enqueue()

    assert_enqueued(note, run_after=moment.astimezone(timezone.get_fixed_timezone(120)))
    assert_not_enqueued(note, run_after=moment + timedelta(microseconds=1))
    assert_not_enqueued(note, run_after=timedelta(0))


def test_a_job_that_need_not_wait():
    note.enqueue()

    assert_enqueued(note, run_after=timedelta(0))


def test_an_unknown_condition_is_an_error():
    with pytest.raises(TypeError, match="queue"):
        assert_enqueued(note, queue="mail")


def test_jobs_count_whatever_became_of_them():
    note.enqueue(1)
    common.fail.enqueue()
    run_jobs()

    assert_enqueued(note, count=1)
    assert enqueued_jobs(note)[0].return_value == 1
    assert enqueued_jobs(common.fail)[0].errors[0].exception_class is ValueError
    with fails("successful"):
        assert_not_enqueued(note)


def test_a_deferred_job_is_found_after_it_ran():
    note.using(run_after=timedelta(hours=1)).enqueue()
    run_jobs(include_scheduled=True)

    assert_enqueued(note, run_after=timedelta(hours=1))


def test_all_jobs_in_order():
    first, second, third = note.enqueue(1), common.plain.enqueue(2), note.enqueue(3)

    assert [job.id for job in enqueued_jobs()] == [first.id, second.id, third.id]
    assert [job.args for job in enqueued_jobs(note)] == [[1], [3]]
    assert {job.state for job in enqueued_jobs()} == {JobState.READY}


def test_a_block_counts_only_what_it_enqueues():
    note.enqueue("before")
    with assert_enqueues(note, count=1) as jobs:
        note.enqueue("within")
    note.enqueue("after")

    assert [job.args for job in jobs] == [["within"]]


def test_a_block_that_enqueues_nothing_fails_and_does_not_list_what_was_before():
    note.enqueue("before")

    with fails("(?s)note with args.*Nothing was enqueued"), assert_enqueues(note, args=["before"]):
        pass


def test_a_block_may_be_required_to_enqueue_nothing():
    with assert_enqueues(note, count=0):
        tasks.anote.enqueue()
    with fails("Expected: no job.*Found: 1"), assert_enqueues(note, count=0):
        note.enqueue()


def test_the_error_of_a_block_is_the_blocks_own():
    with pytest.raises(ZeroDivisionError), assert_enqueues(note):
        raise ZeroDivisionError


def test_tasks_that_know_nothing_of_us_are_found():
    common.plain.enqueue(1)
    common.plain_object.enqueue("x")
    common.send_later.enqueue("a@b.c")
    backport_tasks.index.enqueue("ABC")

    assert_enqueued(common.plain, args=[1], queue_name="mail")
    assert_enqueued(common.plain_object, count=1)
    assert_enqueued(common.send_later, count=1)
    assert_enqueued(backport_tasks.index, count=1)


def test_the_backend_is_the_tasks_or_another():
    backend = settings.TASKS["default"]
    with override_settings(TASKS={"default": backend, "other": backend}):
        other = note.using(backend="other")
        other.enqueue(1)

        assert_not_enqueued(note)
        assert_enqueued(other)
        assert_enqueued(note, backend="other")
        assert len(enqueued_jobs(backend="other")) == 1
        with assert_enqueues(note, backend="other", count=1):
            other.enqueue(2)


def test_a_backend_of_somebody_else_is_a_clear_error():
    path = "django.tasks.backends.dummy.DummyBackend"
    with (
        override_settings(TASKS={"default": {"BACKEND": path}}),
        pytest.raises(TypeError, match=r"DummyBackend.*recording\(\)"),
    ):
        enqueued_jobs()
