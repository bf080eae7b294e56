"""`ignore_result`: readers get nothing, the other tasks of a workflow get the value."""

from __future__ import annotations

from typing import Any

import pytest

from offload.celery import chain, chord, group
from offload.celery.exceptions import EncodeError
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, add_all, keep_nothing_of, return_object, same

pytestmark = pytest.mark.django_db

CANVASES = {
    "chain": (lambda: chain(keep_nothing_of.s(5), same.s()), 5),
    "chord": (lambda: chord([keep_nothing_of.s(1), keep_nothing_of.s(2)], add_all.s()), 3),
    "chord by options": (
        lambda: chord([add.s(1, 1).set(ignore_result=True), add.s(1, 2)], add_all.s()),
        5,
    ),
}


@pytest.mark.parametrize("name", CANVASES)
def test_an_ignored_result_is_an_argument_of_what_follows(name, finish):
    make, expected = CANVASES[name]
    result = make()()
    finish()

    assert result.get() == expected


def test_a_callback_gets_an_ignored_result(finish):
    keep_nothing_of.apply_async((5,), link=tasks.note.s())
    finish()

    assert tasks.events == [[5]]


def test_the_setting_ignores_the_results_of_all_tasks_of_a_chain(settings, finish):
    settings.CELERY_TASK_IGNORE_RESULT = True
    chain(add.s(1, 1), add.s(2), tasks.note.s())()
    finish()

    assert tasks.events == [[4]]


def test_readers_of_a_part_get_no_ignored_result():
    result = chain(keep_nothing_of.s(5), same.s())()
    run_jobs()

    assert result.parent.get() is None
    again = AsyncResult(result.parent.id)
    assert (again.state, again.result, again.get()) == ("SUCCESS", None, None)


def test_readers_of_a_part_get_no_result_that_the_call_or_the_setting_ignores(settings):
    by_call = group(add.s(1, 1).set(ignore_result=True), add.s(1, 2))()
    settings.CELERY_TASK_IGNORE_RESULT = True
    by_setting = group(add.s(1, 1).set(ignore_result=False), add.s(1, 2))()
    run_jobs()

    results = [AsyncResult(one.id).result for one in (*by_call.results, *by_setting.results)]
    assert results == [None, None, 2, None]


def test_the_result_of_a_call_knows_that_the_setting_ignores_it(settings):
    settings.CELERY_TASK_IGNORE_RESULT = True

    assert add.delay(1).get() is None  # at once
    assert not add.apply_async((1,), ignore_result=False).ignored


def test_an_ignored_result_that_json_does_not_have_fails_nobody_who_does_not_take_it(finish):
    result = chain(return_object.s(), same.si(1))()
    finish()

    assert result.get() == 1


def test_an_ignored_result_that_json_does_not_have_fails_who_takes_it():
    result = chain(return_object.s(), same.s())()
    run_jobs()

    with pytest.raises(EncodeError, match="return value is of type object"):
        AsyncResult(result.id).get(timeout=0)


def test_a_task_by_itself_stores_no_ignored_result():
    keep_nothing_of.delay("a secret")
    run_jobs()

    assert Job.objects.get().return_value == "null"


def test_an_eager_task_returns_an_ignored_result_as_in_celery(settings: Any):
    settings.CELERY_TASK_ALWAYS_EAGER = True

    assert keep_nothing_of.delay(5).get() == 5
