"""The assertions, on jobs in the database and on recorded jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
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
from tests.tasks import anything
from tests.testing import tasks
from tests.testing.tasks import note


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(autouse=True, params=["database", "recorded"])
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "database":
        request.getfixturevalue("db")
        yield
        return
    with recording():
        yield


def assertion_error(match: str) -> Any:
    return pytest.raises(AssertionError, match=match)


def test_an_enqueued_job_is_found_and_returned():
    result = note.enqueue(1)

    (job,) = assert_enqueued(note)

    assert job.id == result.id
    assert job.args == [1]
    with assertion_error("Expected: no job of tests.testing.tasks.note. Found: 1"):
        assert_not_enqueued(note)


def test_a_job_of_another_task_does_not_count():
    note.enqueue(1)

    assert_not_enqueued(tasks.anote)
    with assertion_error("Expected: at least one job of tests.testing.tasks.anote. Found: 0"):
        assert_enqueued(tasks.anote)


def test_without_a_task_any_job_counts():
    assert_not_enqueued()
    note.enqueue()

    with assertion_error("Expected: no job of any task. Found: 1"):
        assert_not_enqueued()


def test_a_failure_lists_the_enqueued_jobs():
    deferred = anything.using(queue_name="mail", priority=3, run_after=timedelta(hours=1))
    deferred.enqueue(1, value="x")
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(anything, count=2, args=[2])

    assert str(caught.value) == (
        "Expected: 2 jobs of tests.tasks.anything with args=[2]. Found: 0.\n"
        "Enqueued jobs (1):\n"
        "  tests.tasks.anything(1, value='x')  "
        "queue_name='mail', priority=3, run_after=1:00:00, scheduled"
    )


def test_a_failure_lists_a_limited_number_of_jobs():
    note.enqueue_many([((number,), {}) for number in range(25)])

    with assertion_error(r"(?s)Enqueued jobs \(25\):.*note\(19\)[^(]*\n  \.\.\. and 5 more$"):
        assert_enqueued(common.fail)


def test_a_failure_says_that_no_jobs_were_enqueued():
    with assertion_error("No jobs were enqueued"):
        assert_enqueued(note)


@pytest.mark.parametrize(
    ("matching", "different"),
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
def test_attributes_are_compared(matching, different):
    deferred = anything.using(queue_name="mail", priority=7, run_after=timedelta(hours=1))
    deferred.enqueue(1, 2, value={1: (Colour.RED, None)})

    assert len(assert_enqueued(anything, **matching)) == 1
    with assertion_error("Found: "):
        assert_enqueued(anything, **different)


def test_the_time_from_which_a_job_may_run_is_compared():
    moment = datetime.now(UTC) + timedelta(days=1)
    note.using(run_after=moment).enqueue()

    assert_enqueued(note, run_after=moment.astimezone(timezone.get_fixed_timezone(120)))
    assert_not_enqueued(note, run_after=moment + timedelta(microseconds=1))
    assert_not_enqueued(note, run_after=timedelta(0))


def test_a_job_that_is_not_deferred():
    note.enqueue()

    assert_enqueued(note, run_after=timedelta(0))


@pytest.mark.parametrize(
    ("task", "attributes", "message"),
    [
        (note, {"nope": 1}, "() got an unknown attribute 'nope'. Choices are: args, kwargs, "),
        (note, {"queue": "mail"}, "unknown attribute 'queue'. Did you mean 'queue_name'?"),
        (note, {"value": 1}, "'value'. Arguments of the call belong into kwargs: kwargs={'value'"),
        (note.func, {}, "() needs a task, not <function note at "),
        (note.func, {}, "Is its decorator @task missing?"),
        ("tests.testing.tasks.note", {}, "() needs a task, not 'tests.testing.tasks.note'."),
        (note, {"args": 1}, "(): args must be a list or tuple of the call's arguments, not 1."),
        (note, {"args": "x"}, "(): args must be a list or tuple of the call's arguments, not 'x'."),
        (note, {"kwargs": [1]}, "(): kwargs must be a dict of the call's arguments by name, not"),
        (note, {"priority": "1"}, "(): priority must be a whole number, not '1'."),
        (note, {"run_after": 60}, "(): run_after must be a datetime, or a timedelta from the time"),
        (note, {"queue_name": "mial"}, "has no queue 'mial'. Did you mean 'mail'?"),
    ],
)
@pytest.mark.parametrize("assertion", [assert_enqueued, assert_not_enqueued, assert_enqueues])
def test_what_no_job_can_have_is_an_error(assertion, task, attributes, message):
    with (
        pytest.raises((TypeError, ValueError)) as caught,
        assertion(task, **attributes) or nullcontext(),
    ):
        pass

    assert message in str(caught.value)
    if "()" in message:
        assert str(caught.value).startswith(f"{assertion.__name__}()")


def test_finished_jobs_count():
    note.enqueue(1)
    common.fail.enqueue()
    run_jobs()

    assert_enqueued(note, count=1)
    assert enqueued_jobs(note)[0].return_value == 1
    assert enqueued_jobs(common.fail)[0].errors[0].exception_class is ValueError
    with assertion_error("successful"):
        assert_not_enqueued(note)


def test_a_deferred_job_is_found_after_it_was_run():
    note.using(run_after=timedelta(hours=1)).enqueue()
    run_jobs(include_scheduled=True)

    assert_enqueued(note, run_after=timedelta(hours=1))


def test_all_jobs_are_returned_in_order():
    first, second, third = note.enqueue(1), common.plain.enqueue(2), note.enqueue(3)

    assert [job.id for job in enqueued_jobs()] == [first.id, second.id, third.id]
    assert [job.args for job in enqueued_jobs(note)] == [[1], [3]]
    assert {job.state for job in enqueued_jobs()} == {JobState.READY}


def test_a_block_counts_only_its_own_jobs():
    note.enqueue("before")
    with assert_enqueues(note, count=1) as jobs:
        note.enqueue("within")
    note.enqueue("after")

    assert [job.args for job in jobs] == [["within"]]


def test_a_block_that_enqueues_no_jobs_fails_and_lists_no_earlier_ones():
    note.enqueue("before")

    with (
        assertion_error("(?s)note with args.*No jobs were enqueued"),
        assert_enqueues(note, args=["before"]),
    ):
        pass


def test_a_block_may_be_required_to_enqueue_no_jobs():
    with assert_enqueues(note, count=0):
        tasks.anote.enqueue()
    with assertion_error("Expected: no job.*Found: 1"), assert_enqueues(note, count=0):
        note.enqueue()


def test_an_error_in_a_block_is_raised_unchanged():
    with pytest.raises(ZeroDivisionError), assert_enqueues(note):
        raise ZeroDivisionError


def test_jobs_of_django_tasks_are_found():
    common.plain.enqueue(1)
    common.plain_object.enqueue("x")
    common.send_later.enqueue("a@b.c")
    backport_tasks.index.enqueue("ABC")

    assert_enqueued(common.plain, args=[1], queue_name="mail")
    assert_enqueued(common.plain_object, count=1)
    assert_enqueued(common.send_later, count=1)
    assert_enqueued(backport_tasks.index, count=1)


def test_another_backend_than_the_tasks_may_be_chosen():
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


def test_a_backend_of_another_package_is_a_clear_error():
    path = "django.tasks.backends.dummy.DummyBackend"
    with (
        override_settings(TASKS={"default": {"BACKEND": path}}),
        pytest.raises(TypeError, match=r"DummyBackend.*recording\(\)"),
    ):
        enqueued_jobs()
