"""`ResultSet` and `GroupResult`."""

from __future__ import annotations

import pickle

import pytest

from offload import workflow
from offload.celery.exceptions import TimeoutError
from offload.celery.result import AsyncResult, GroupResult, ResultSet
from offload.testing import run_jobs
from tests import tasks as our_tasks
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def test_a_saved_group_is_found_by_its_id():
    group = GroupResult("the group", [tasks.add.delay(n) for n in range(3)])
    group.save()
    group.save()
    run_jobs()

    restored = GroupResult.restore("the group")

    assert restored == group
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
    group = GroupResult("g", [tasks.add.delay(n) for n in range(2)])
    group.revoke()
    assert [result.state for result in group] == ["REVOKED"] * 2
    group.forget()

    assert [result.exists() for result in group] == [False] * 2


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
    group = GroupResult("g", [AsyncResult("a")], parent=AsyncResult("b"))

    assert pickle.loads(pickle.dumps(group)) == group == "g"
    assert group.as_tuple() == (("g", (("b", None), None)), [(("a", None), None)])
    assert bool(group)
    assert not GroupResult()
