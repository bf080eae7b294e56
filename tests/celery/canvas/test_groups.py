"""`group`, and its `GroupResult`."""

from __future__ import annotations

import pytest

from offload.celery import chain, group, signature
from offload.celery.result import AsyncResult, GroupResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, fail, listed, multiply

pytestmark = pytest.mark.django_db

GROUPS = {
    "of a generator": (lambda: group(add.s(i, i) for i in range(3)), [0, 2, 4]),
    "of members": (lambda: group(add.s(1, 1), multiply.s(2, 3)), [2, 6]),
    "of a group": (lambda: group(group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)), [2, 4, 6]),
    "of a chain": (lambda: group(add.s(1, 1) | add.s(1), add.s(5, 5)), [3, 10]),
    "of a chain that ends in a group": (
        lambda: group(chain(add.s(1, 1), group(add.s(1), add.s(2))), add.s(0)),
        [[3, 4], 0],
    ),
    "of one": (lambda: group([add.s(1, 1)]), [2]),
    "of none": (lambda: group([]), []),
    "with an empty chain": (lambda: group([chain(), add.s(1, 1)]), [2]),
    "skewed": (lambda: group(add.s(i, i) for i in range(2)).skew(start=0.5), [0, 2]),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_returns_the_results_in_the_order_of_its_tasks(name, finish):
    make, expected = GROUPS[name]
    result = make()()
    finish()

    assert isinstance(result, GroupResult)
    assert result.get() == expected
    assert signature(dict(make())) == make()


def test_arguments_of_the_call_are_those_of_each_task(finish):
    result = group(listed.s(i, a=1) for i in range(2)).apply_async((10,), {"b": 3})
    finish()

    assert result.join() == [[10, 0, {"a": 1, "b": 3}], [10, 1, {"a": 1, "b": 3}]]


def test_options_are_those_of_each_task_and_the_id_is_that_of_the_group():
    result = group(add.s(1, 1), add.s(2, 2)).apply_async(queue="mail", task_id="mine")

    assert result.id == "mine"
    queues = Job.objects.filter(pk__in=[one.id for one in result]).values_list("queue_name")
    assert set(queues) == {("mail",)}


def test_the_job_of_the_workflow_has_the_id_of_the_group():
    result = group(add.s(1, 1), add.s(2, 2))()

    assert Job.objects.get(pk=result.id).is_workflow
    assert tasks.about.s().set(group_id=result.id).apply().state == "SUCCESS"


def test_a_group_tells_how_far_it_is():
    result = group(add.s(1, 1), add.s(2, 2).set(countdown=60))()
    assert (result.completed_count(), result.ready(), result.waiting()) == (0, False, True)

    run_jobs()
    assert (result.completed_count(), result.ready(), result.successful()) == (1, False, False)

    run_jobs(include_scheduled=True)
    assert (result.completed_count(), result.ready(), result.successful()) == (2, True, True)


def test_a_failure_is_that_of_its_task_only(finish):
    result = group(fail.s("no"), add.s(1, 1))()
    finish()

    assert [one.state for one in result] == ["FAILURE", "SUCCESS"]
    assert (result.ready(), result.failed(), result.successful()) == (True, True, False)
    assert result.completed_count() == 1
    with pytest.raises(ValueError, match="no"):
        result.get()
    assert result.join(propagate=False)[1] == 2


def test_an_errback_follows_each_task_that_fails(finish):
    both = group(fail.s("one"), add.s(1, 1), fail.s("two"))
    both.link_error(tasks.note_failed_id.s())
    result = both()
    finish()

    assert sorted(tasks.events) == sorted([("id", result[0].id), ("id", result[2].id)])


@pytest.mark.parametrize("option", ["link", "link_error"])
def test_a_group_cannot_be_linked_by_a_call(option):
    with pytest.raises(TypeError, match=option):
        group(add.s(1, 1)).apply_async(**{option: add.s()})


def test_revoking_a_group_revokes_what_waits():
    result = group(add.s(1, 1), add.s(2, 2) | add.s(1))()
    result.revoke()
    run_jobs()

    assert [one.state for one in result] == ["REVOKED", "REVOKED"]


def test_a_generator_is_read_once():
    read = []

    def members():
        for number in range(3):
            read.append(number)
            yield add.s(number, number)

    made = group(members())
    made()
    made()
    run_jobs()

    assert read == [0, 1, 2]
    assert Job.objects.count() == 8  # with those of the workflows


def test_a_group_within_a_chain_knows_the_task_before_it(finish):
    result = (add.s(1, 1) | group(add.s(1), add.s(2)))()
    finish()

    assert isinstance(result, GroupResult)
    assert result.parent.get() == 2


def test_an_id_finds_a_task_of_a_group(finish):
    result = group(add.s(1, 1), add.s(2, 2))()
    finish()

    assert [AsyncResult(one.id).get() for one in result] == [2, 4]


def test_a_group_of_chains_is_found_by_its_id():
    result = group(add.s(1, 1) | add.s(1), add.s(2, 2).on_error(tasks.note_failed_id.s()))()
    run_jobs()

    assert GroupResult.restore(result.id) == result
    assert GroupResult.restore(result.id).get() == [3, 4]
