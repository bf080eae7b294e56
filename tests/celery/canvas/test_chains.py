"""`chain`, and `|` between signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from offload.celery import chain, group, signature
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, add_all, fail, listed, multiply, same

pytestmark = pytest.mark.django_db

CHAINS = {
    "of tasks": (lambda: add.s(2, 2) | add.s(4) | add.s(8), 16),
    "called with arguments": (lambda: chain(add.s(4), multiply.s(8)).clone((4,)), 64),
    "with an immutable step": (lambda: add.s(2, 2) | add.si(4, 4) | add.s(1), 9),
    "of one": (lambda: chain(add.s(1, 1)), 2),
    "of a list": (lambda: chain([add.s(1, 1), add.s(1)]), 3),
    "of a generator": (lambda: chain(add.s(number) for number in range(3)).clone((1,)), 4),
    "of chains": (lambda: chain(add.s(1, 1) | add.s(1), add.s(1) | multiply.s(2)), 8),
    "with a group at the end": (lambda: add.s(1, 1) | group(add.s(1), add.s(2)), [3, 4]),
    "with a group": (
        lambda: add.s(1, 1) | group(add.s(1), add.s(2)) | add_all.s() | add.s(1),
        8,
    ),
    "with a group of one": (lambda: chain(add.s(1, 1), group([add.s(1)]), same.s()), 3),
    "with a group of none": (lambda: add.s(1, 1) | group([]) | add.s(1), 3),
    "of groups": (
        lambda: group(add.s(1, 1), add.s(2, 2)) | group(same.s(), listed.s()),
        [[2, 4], [[2, 4]]],
    ),
    "with nested groups": (
        lambda: chain(
            add.si(1, 0),
            group(add.si(1, 100), chain(add.si(1, 200), group(add.si(1, 1), add.si(1, 2)))),
            add.si(1, 10),
        ),
        11,
    ),
    "with starmap": (lambda: add.s(1, 1) | add.starmap([(1, 1), (2, 2)]) | add_all.s(), 6),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_returns_what_celery_returns(name, finish):
    make, expected = CHAINS[name]
    result = make()()
    finish()

    assert result.get() == expected


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_may_be_stored_as_json(name, finish):
    import json  # noqa: PLC0415

    make, expected = CHAINS[name]
    result = signature(json.loads(json.dumps(make())))()
    finish()

    assert result.get() == expected


def test_the_result_knows_those_before_it(finish):
    result = (add.s(2, 2) | add.s(4) | add.s(8))()
    finish()

    assert result.parent.parent.get() == 4
    assert result.parent.get() == 8
    assert result.parent.parent.parent is None
    assert result.as_list() == [result.id, result.parent.id, result.parent.parent.id]


def test_a_chain_is_enqueued_in_the_callers_transaction():
    with pytest.raises(LookupError), transaction.atomic():  # noqa: PT012
        chain(add.s(1, 1), add.s(1))()
        raise LookupError

    assert not Job.objects.exists()


def test_arguments_of_the_call_are_those_of_the_first_task(finish):
    result = chain(listed.s(1, a=1), same.s()).apply_async((0,), {"b": 3})
    finish()

    assert result.get() == [0, 1, {"a": 1, "b": 3}]


def test_an_immutable_task_takes_no_arguments_by_name(finish):
    result = listed.si(1, a=1).apply_async((0,), {"b": 3})
    finish()

    assert result.get() == [1, {"a": 1}]


def test_options_are_those_of_the_first_task():
    eta = datetime.now(UTC) + timedelta(days=2)
    result = chain(add.s(1, 1), add.s(1)).apply_async(queue="mail", eta=eta)

    assert Job.objects.get(pk=result.parent.id).queue_name == "mail"
    assert Job.objects.get(pk=result.id).queue_name == "default"
    assert run_jobs() == []
    run_jobs(include_scheduled=True)
    assert result.get() == 3


def test_a_countdown_in_the_chain_delays_what_follows():
    result = (add.s(1, 1) | add.s(1).set(countdown=60))()
    run_jobs()

    assert result.parent.state == "SUCCESS"
    assert result.state == "PENDING"


def test_an_id_of_ones_own_is_that_of_the_last_task(finish):
    result = chain(add.s(1, 1), add.s(1)).apply_async(task_id="mine")
    finish()

    assert result.id == "mine"
    assert AsyncResult("mine").get() == 3


def test_an_id_that_is_taken_is_refused_and_nothing_is_enqueued():
    add.apply_async((1,), task_id="mine")

    with pytest.raises(ValueError, match="already"):
        chain(add.s(1, 1), add.s(1)).apply_async(task_id="mine")
    assert Job.objects.count() == 1


def test_an_empty_chain_does_nothing():
    assert chain()() is None
    assert chain([])() is None
    assert not Job.objects.exists()


def test_a_failure_is_that_of_all_tasks_behind_it(finish):
    result = (add.s(1, 1) | tasks.fail_after.s() | add.s(1) | add.s(2))()
    finish()

    assert result.parent.parent.parent.state == "SUCCESS"
    for behind in (result.parent.parent, result.parent, result):
        again = AsyncResult(behind.id)
        assert again.state == "FAILURE"
        assert repr(again.result) == "OutOfStock(2)"
        assert "OutOfStock: 2" in again.traceback
        with pytest.raises(tasks.OutOfStock):
            again.get(timeout=0)


def test_nothing_follows_a_task_that_raises_ignore(finish):
    result = chain(tasks.ignore.si(), tasks.note.s("after"), same.s()).apply_async(
        link=tasks.note.s("linked"), link_error=tasks.note.si("failed")
    )
    finish()

    assert tasks.events == []
    before = (result.parent.parent, result.parent, result)
    assert [AsyncResult(one.id).state for one in before] == ["IGNORED"] * 3
    assert (result.get(timeout=0), result.ready(), result.successful()) == (None, True, False)


def test_an_ignored_task_keeps_the_state_that_it_has_set_in_a_chain():
    result = chain(tasks.ignore.si("NOT NEEDED"), same.s())()
    run_jobs()

    assert (result.parent.state, result.parent.info) == ("NOT NEEDED", {"why": "nothing to do"})
    assert result.state == "IGNORED"


def test_a_chain_of_some_length_fails_with_the_first_exception():
    result = chain(fail.s("first"), *[add.s(1)] * 30)()
    run_jobs()

    assert repr(AsyncResult(result.id).result) == "ValueError('first')"


def test_revoking_a_task_revokes_those_behind_it():
    result = chain(add.s(1, 1), add.s(1), add.s(1))()
    result.parent.parent.revoke()
    run_jobs()

    assert [result.state, result.parent.state, result.parent.parent.state] == ["REVOKED"] * 3


def test_callbacks_follow_the_last_task(finish):
    chain(add.s(1, 1), add.s(1)).apply_async(link=tasks.note.s("after"))
    finish()

    assert tasks.events == [[3, "after"]]


def test_an_errback_follows_whichever_task_fails(finish):
    steps = chain(add.s(1, 1), tasks.fail_after.s(), add.s(1))
    result = steps.apply_async(link_error=tasks.note_failed_id.s())
    finish()

    assert tasks.events == [("id", result.parent.id)]


def test_an_errback_of_a_chain_may_be_linked_before_the_call(finish):
    steps = chain(fail.s("no"), add.s(1))
    steps.link_error(tasks.note_failure.s())
    result = (steps | add.s(2))()
    finish()

    assert tasks.events == [(result.parent.parent.id, ["no"], "ValueError('no')", True)]


def test_an_errback_of_a_later_task_does_not_follow_an_earlier_failure(finish):
    chain(fail.s("no"), add.s(1).on_error(tasks.note_failed_id.s()))()
    finish()

    assert tasks.events == []


def test_a_task_knows_the_first_task_and_the_one_before_it():
    result = (tasks.about.s() | tasks.about.s())()
    run_jobs()

    first, last = result.parent.get(), result.get()
    assert first["parent_id"] is None
    assert (last["root_id"], last["parent_id"]) == (result.parent.id, result.parent.id)


def test_arguments_that_a_later_task_does_not_take_are_refused_at_once():
    with pytest.raises(TypeError, match="positional argument"):
        (add.s(1, 1) | add.s(1, 2))()
    assert not Job.objects.exists()


def test_a_signature_is_not_changed_by_a_chain():
    first = add.s(1, 1)
    steps = first | add.s(1)
    steps()
    steps.tasks[0].set(queue="mail")

    assert first == add.s(1, 1)
    assert repr(steps) == "tests.celery.tasks.add(1, 1) | tests.celery.tasks.add(1)"


def test_a_value_that_is_no_signature_is_refused():
    values: list[Any] = [1, add]
    for value in values:
        with pytest.raises(TypeError):
            chain(add.s(1), value)
        with pytest.raises(TypeError):
            _ = add.s(1) | value
