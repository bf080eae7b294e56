"""`link` and `link_error`."""

from __future__ import annotations

from typing import Any

import pytest

from offload.celery import current_app, signature
from offload.celery.result import AsyncResult
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["jobs", "eager"])
def run(request: pytest.FixtureRequest, settings: Any) -> Any:
    """What runs the tasks; eagerly they have run already."""
    if request.param == "eager":
        settings.CELERY_TASK_ALWAYS_EAGER = True
        return lambda: None
    return lambda: run_jobs(include_scheduled=True)


@pytest.fixture(autouse=True)
def events() -> list[Any]:
    tasks.events.clear()
    return tasks.events


def test_a_callback_gets_the_result_before_its_arguments(run, events):
    result = tasks.add.apply_async((1, 2), link=tasks.note.s("also"))
    run()

    assert events == [[3, "also"]]
    assert result.get() == 3


def test_an_immutable_callback_gets_its_arguments_only(run, events):
    tasks.add.apply_async((1, 2), link=[tasks.note.si("mine"), tasks.note.s()])
    run()

    assert sorted(events, key=str) == [["mine"], [3]]


def test_a_callback_may_be_the_dict_of_a_signature(run, events):
    tasks.add.apply_async((1, 2), link=dict(tasks.note.s("stored")))
    run()

    assert events == [[3, "stored"]]


def test_a_callback_may_have_one_of_its_own(events):
    first = tasks.add.s(1, 2)
    first.link(tasks.double.s()).link(tasks.note.s())
    first.delay()
    run_jobs()

    assert events == [[6]]


def test_a_task_that_is_sent_by_its_name_has_callbacks_too(events):
    succeeded = current_app.send_task("double it", (4,), task_id="mine", link=tasks.note.s("also"))
    failed = current_app.send_task(tasks.fail.name, link_error=tasks.note_failed_id.s())
    run_jobs()

    assert sorted(events, key=str) == [("id", failed.id), [8, "also"]]
    assert (succeeded.id, succeeded.get()) == ("mine", 8)


@pytest.mark.parametrize("name", ["link", "link_error"])
@pytest.mark.parametrize("value", [tasks.note, [tasks.note.s(), tasks.note], "note"], ids=repr)
def test_a_callback_must_be_a_signature(run, events, name, value):
    with pytest.raises(TypeError, match=r"take signatures, such as task.s\(\)"):
        tasks.add.apply_async((1, 2), **{name: value})

    assert events == []
    assert not Job.objects.exists()


def test_no_callback_follows_a_failure(run, events):
    tasks.fail.apply_async(link=tasks.note.s())
    run()

    assert events == []


def test_an_errback_of_one_argument_gets_the_id(run, events):
    result = tasks.fail.apply_async(link_error=tasks.note_failed_id.s())
    run()

    assert events == [("id", result.id)]
    assert result.state == "FAILURE"


def test_an_errback_of_three_arguments_gets_request_exception_and_traceback(run, events):
    result = tasks.fail.apply_async(("no",), link_error=tasks.note_failure.s())
    run()

    assert events == [(result.id, ["no"], "ValueError('no')", True)]


def test_a_bound_errback_gets_the_id_and_hides_no_exception(run, events):
    result = tasks.fail.apply_async(link_error=tasks.note_failed_id_bound.s(also="this"))
    run()

    assert events == [("bound", result.id, "this")]
    assert repr(result.result) == "ValueError('no')"


def test_no_errback_follows_a_success(run, events):
    tasks.add.apply_async((1,), link_error=tasks.note_failed_id.s())
    run()

    assert events == []


def test_an_errback_follows_the_last_retry_only(events):
    result = tasks.retry_until.apply_async((9,), link_error=tasks.note_failed_id.s())
    assert AsyncResult(result.id).state == "PENDING"
    run_jobs(include_scheduled=True)

    assert events == [("id", result.id)]
    assert result.retries == 2


def test_a_linked_task_may_have_an_id_of_its_own(events):
    result = tasks.add.apply_async((1,), task_id="mine", link=tasks.note.s())
    run_jobs()

    assert AsyncResult("mine").get() == 1 == result.get()


def test_all_are_enqueued_together():
    tasks.add.apply_async((1,), link=tasks.note.s(), link_error=tasks.note_failed_id.s())

    assert Job.objects.count() == 4  # with that of the workflow


def test_signatures_are_calls_that_are_not_made_yet():
    partial = tasks.add.s(1)

    assert repr(partial) == "tests.celery.tasks.add(1)"
    assert partial(2) == 3
    assert partial.clone((5,)).args == (5, 1)
    assert tasks.add.si(1).clone((5,)).args == (1,)
    assert signature("double it", args=(4,)).apply().get() == 8
    assert dict(partial.set(queue="mail")) == {
        "task": "tests.celery.tasks.add",
        "args": (1,),
        "kwargs": {},
        "options": {"queue": "mail"},
        "subtask_type": None,
        "immutable": False,
    }


def test_a_signature_enqueues_with_its_options():
    result = tasks.add.s(1).set(queue="mail", priority=5).delay(2)

    job = Job.objects.get(pk=result.id)
    assert (job.queue_name, job.priority) == ("mail", 50)
    assert result.args == [2, 1]
