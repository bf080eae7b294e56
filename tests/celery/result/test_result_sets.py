"""`ResultSet` and `GroupResult`."""

from __future__ import annotations

import pickle

import pytest

from offload import workflow
from offload.celery import group
from offload.celery.exceptions import TimeoutError, UnknownTaskId
from offload.celery.result import AsyncResult, GroupResult, ResultSet
from offload.testing import run_jobs
from tests import tasks as our_tasks
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def test_a_saved_group_is_found_by_its_id():
    saved = GroupResult("the group", [tasks.add.delay(n) for n in range(3)])
    saved.save()
    saved.save()
    run_jobs()

    restored = GroupResult.restore("the group")

    assert restored == saved
    assert restored.join() == [0, 1, 2]
    assert restored.completed_count() == 3
    restored.delete()
    assert GroupResult.restore("the group") is None


def test_a_group_that_was_not_saved_is_not_found():
    assert GroupResult.restore("unknown") is None
    assert GroupResult.restore(tasks.add.delay(1).id) is None


def test_a_workflow_is_found_as_a_group():
    with workflow("some") as flow:
        flow.add(our_tasks.add, 1)
        flow.add(our_tasks.add, 2)
    run_jobs()

    restored = GroupResult.restore(flow.result.id)

    assert restored.get() == [1, 2]


def test_a_group_is_revoked_and_forgotten_at_once():
    saved = GroupResult("g", [tasks.add.delay(n) for n in range(2)])
    saved.revoke()
    assert [result.state for result in saved] == ["REVOKED"] * 2
    saved.forget()

    assert [result.exists() for result in saved] == [False] * 2


def test_results_are_added_and_removed():
    first, second = tasks.add.delay(1), tasks.add.delay(2)
    results = ResultSet([first])
    results.add(first)
    results.update([second])
    assert len(results) == 2
    results.discard("unknown")
    results.remove(first.id)
    assert list(results) == [second] == [results[0]]
    with pytest.raises(KeyError):
        results.remove(first)
    results.clear()
    assert results.results == []


def test_what_happens_when_all_have_ended():
    seen = []
    results = ResultSet([tasks.add.delay(n) for n in range(2)])
    run_jobs()
    results.then(seen.append)

    assert seen == [results]


@pytest.mark.django_db(transaction=True)
def test_the_timeout_is_that_of_all_together():
    results = ResultSet([tasks.add.delay(n) for n in range(2)])

    with pytest.raises(TimeoutError):
        results.get(timeout=0.01)


def test_a_group_survives_a_pickle():
    saved = GroupResult("g", [AsyncResult("a")], parent=AsyncResult("b"))

    assert pickle.loads(pickle.dumps(saved)) == saved == "g"
    assert saved.as_tuple() == (("g", (("b", None), None)), [(("a", None), None)])
    assert bool(saved)
    assert not GroupResult()


def test_what_is_known_of_many_tasks_takes_few_queries(django_assert_max_num_queries):
    results = group(tasks.add.s(n, n) for n in range(50))()
    with django_assert_max_num_queries(1):
        assert not results.ready()
    run_jobs()

    for ask, expected in QUESTIONS:
        with django_assert_max_num_queries(2):
            assert ask(ResultSet([AsyncResult(one.id) for one in results])) == expected


QUESTIONS = [
    (lambda results: results.ready(), True),
    (lambda results: results.waiting(), False),
    (lambda results: results.successful(), True),
    (lambda results: results.failed(), False),
    (lambda results: results.completed_count(), 50),
    (lambda results: results.get(), [2 * n for n in range(50)]),
    (lambda results: list(results.iterate()), [2 * n for n in range(50)]),
    (lambda results: results.maybe_throw(), None),
]


def test_failures_of_many_tasks_are_read_together(django_assert_max_num_queries):
    results = ResultSet([tasks.fail.delay(str(n)) for n in range(8)])
    run_jobs()

    with django_assert_max_num_queries(2):
        assert (results.ready(), results.failed(), results.completed_count()) == (True, True, 0)
    with django_assert_max_num_queries(2), pytest.raises(ValueError, match=r"^0$"):
        ResultSet([AsyncResult(one.id) for one in results]).get()


def test_groups_within_a_group_count_as_one_each():
    inner = GroupResult("inner", [tasks.add.delay(1), tasks.add.delay(2)])
    outer = GroupResult("outer", [tasks.add.delay(3), inner])
    run_jobs()

    assert (outer.ready(), outer.completed_count(), outer.get()) == (True, 2, [3, [1, 2]])


def test_an_id_that_no_task_has_is_an_error_among_others():
    with pytest.raises(UnknownTaskId):
        ResultSet([tasks.add.delay(1), AsyncResult("unknown")]).ready()

    assert not ResultSet([tasks.add.delay(1), AsyncResult("unknown", strict=False)]).ready()


def test_a_failure_that_is_known_is_raised_while_others_run():
    waiting, failed = tasks.add.apply_async((1,), countdown=1000), tasks.fail.delay("broken")
    run_jobs()
    results = ResultSet([waiting, tasks.add.apply_async((2,), countdown=1000), failed])

    with pytest.raises(ValueError, match="broken"):
        results.get(timeout=600)
    waiting.revoke()
    results[1].revoke()
    assert str(results.get(propagate=False)[2]) == "broken"


def test_a_callback_gets_the_results_in_place_of_the_caller():
    results = ResultSet([tasks.add.delay(n) for n in range(2)])
    run_jobs()
    seen: list[object] = []

    def note(task_id: str, value: object) -> None:
        seen.append((task_id, value))

    assert results.get(callback=note) is None
    assert results.join_native(callback=note) is None
    assert results.join(callback=note) == []
    assert seen == [(result.id, n) for n, result in enumerate(results)] * 3
