"""`self.replace()` with a canvas."""

from __future__ import annotations

from typing import Any

import pytest

from offload.celery import chain, chord, group
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import add, add_all, fail, listed, replace_by, replace_by_async, same

CANVASES = {
    "a task": (lambda: add.s(2, 3), 5),
    "a chain": (lambda: chain(add.s(1, 1), add.s(3)), 5),
    "a group": (lambda: group(add.s(1, 1), add.s(2, 2)), [2, 4]),
    "a group of one": (lambda: group([add.s(1, 1)]), [2]),
    "a group of none": (lambda: group([]), []),
    "a chord": (lambda: chord([add.s(1, 1), add.s(2, 2)], add_all.s()), 6),
    "a chord whose body is a group": (
        lambda: chord([add.s(1, 1), add.s(2, 2)], group(add_all.s(), same.s())),
        [6, [2, 4]],
    ),
    "a chain that ends in a group": (
        lambda: chain(add.s(1, 1), group(add.s(1), add.s(2))),
        [3, 4],
    ),
    "chunks": (lambda: add.chunks([(1, 1), (2, 2), (3, 3)], 2), [[2, 4], [6]]),
    "a map": (lambda: add.starmap([(1, 1), (2, 2)]), [2, 4]),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", CANVASES)
def test_the_id_of_a_task_has_the_result_of_the_canvas_that_replaces_it(name, finish):
    make, expected = CANVASES[name]
    result = replace_by.delay(by=make())
    finish()

    assert (result.state, result.get()) == ("SUCCESS", expected)
    assert AsyncResult(result.id).get() == expected


@pytest.mark.django_db
@pytest.mark.parametrize("name", CANVASES)
def test_what_follows_in_a_chain_gets_the_result_of_the_canvas(name, finish):
    make, expected = CANVASES[name]
    result = chain(add.s(1, 1), replace_by.s(by=make()), listed.s("last"))()
    finish()

    assert result.get() == [expected, "last"]
    assert result.parent.get() == expected


@pytest.mark.django_db
def test_an_async_task_may_be_replaced_too(finish):
    result = chain(replace_by_async.s(by=group(add.s(1, 1), add.s(2, 2))), listed.s("last"))()
    alone = replace_by_async.delay(by=chain(add.s(1, 1), add.s(3)))
    finish()

    assert (result.get(), alone.get()) == ([[2, 4], "last"], 5)


@pytest.mark.django_db
def test_the_body_of_a_chord_waits_for_what_replaces_a_task_of_its_header(finish):
    steps = chain(add.s(1, 1), add.s(3))
    result = chord([replace_by.s(by=steps), add.s(2, 2)], same.s())()
    finish()

    assert result.get() == [5, 4]


@pytest.mark.django_db
def test_a_task_may_be_replaced_again_and_again(finish):
    steps = chain(add.s(1, 1), replace_by.s(by=chain(replace_by.s(by=add.s(2, 3)), add.s(1))))
    result = chain(replace_by.s(by=steps), same.s())()
    finish()

    assert result.get() == 6


@pytest.mark.django_db
def test_the_jobs_are_inserted_with_the_success_of_the_task():
    result = replace_by.delay(by=chain(add.s(1, 1), add.s(3)))
    run_jobs(limit=1000)

    ids = set(Job.objects.values_list("pk", flat=True))
    parts = Job.objects.filter(workflow__isnull=False)
    assert len(ids) == 4, "the task, the workflow and its two parts"
    assert {part.parent for part in parts} == {result.job_id}


@pytest.mark.django_db
@pytest.mark.parametrize("before", [False, True])
def test_the_failure_of_a_canvas_is_that_of_the_task(before, finish):
    tasks.events.clear()
    steps = chain(add.s(1, 1), fail.si("broken"), add.s(3))
    task = replace_by.s(by=steps).on_error(tasks.note_failure.s())
    result = chain(add.s(1, 1), task)() if before else task.apply_async()
    finish()

    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="broken"):
        result.get()
    [(task_id, _, exception, _)] = tasks.events
    assert (task_id, exception) == (result.id, "ValueError('broken')")


@pytest.mark.django_db
def test_a_canvas_that_cannot_be_called_fails_the_task(finish):
    result = replace_by.delay(by=chain(add.s(1, 1), add.s(1, 2, 3)))
    finish()

    assert isinstance(result.result, TypeError)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [(chain(), ValueError, "a chain without tasks"), (add, TypeError, "such as task.s()")],
)
def test_what_is_none_is_refused(value: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        replace_by.replace(value)


def test_a_call_as_a_function_runs_the_canvas_here():
    assert replace_by.replace(chain(add.s(1, 1), add.s(3))) == 5


@pytest.mark.django_db
def test_revoking_a_task_revokes_what_has_replaced_it():
    result = replace_by.delay(by=chain(add.s(1, 1).set(countdown=1000), add.s(3)))
    run_jobs()
    assert result.state == "PENDING"
    result.revoke()

    assert result.state == "REVOKED"


@pytest.mark.django_db
def test_an_id_is_taken_until_what_has_replaced_its_task_has_ended():
    steps = chain(add.s(1, 1).set(countdown=1000), add.s(3))
    result = replace_by.apply_async(kwargs={"by": steps}, task_id="mine")
    run_jobs()

    with pytest.raises(ValueError, match=r"'mine' already, whose state is PENDING"):
        add.apply_async((1,), task_id="mine")
    result.forget()
    assert AsyncResult("mine").state == "PENDING"
    run_jobs(include_scheduled=True)
    assert AsyncResult("mine").get() == 5

    assert add.apply_async((1,), task_id="mine").state == "PENDING"


@pytest.mark.django_db
@pytest.mark.parametrize("before", [False, True])
def test_an_id_chosen_in_a_canvas_that_replaces_a_task_must_be_new(before):
    def call() -> AsyncResult:
        task = replace_by.s(by=chain(add.s(1, 1), add.s(3).set(task_id="mine")))
        result = (chain(add.s(1, 1), task) if before else task).apply_async()
        run_jobs()
        return AsyncResult(result.id)

    assert call().get() == AsyncResult("mine").get() == 5
    refused = call()
    assert refused.state == "FAILURE"
    with pytest.raises(ValueError, match=r"'mine' already, and a canvas that replaces a task"):
        refused.get()
    assert AsyncResult("mine").get() == 5


@pytest.mark.django_db
def test_code_that_lets_ignore_pass_lets_a_task_be_replaced(finish):
    result = tasks.replace_carefully.delay(by=chain(add.s(1, 1), add.s(3)))
    finish()

    assert result.get() == 5


@pytest.mark.django_db
def test_a_single_task_keeps_its_links(finish):
    replace_by.delay(by=add.s(1, 1).set(link=tasks.note.s("linked")))
    replace_by.delay(by=fail.s("broken").on_error(tasks.note_failure.s()))
    finish()

    linked, (_, _, exception, _) = tasks.events
    assert (linked[0], exception) == (2, "ValueError('broken')")


@pytest.mark.django_db
def test_a_single_task_keeps_its_options():
    result = replace_by.delay(by=add.s(1, 1).set(countdown=1000, queue="mail"))
    run_jobs()

    assert result.state == "PENDING"
    assert Job.objects.get(task_path="tests.celery.tasks.add").queue_name == "mail"


@pytest.mark.django_db
def test_a_retry_of_what_has_replaced_a_task_does_not_run_that_again(finish):
    tasks.events.clear()
    result = tasks.note_and_replace.delay(by=tasks.retry_until.s(2))
    finish()

    assert (result.get(), tasks.events) == (2, ["replaced"])
