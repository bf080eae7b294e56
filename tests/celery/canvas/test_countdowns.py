"""The countdown of a task that follows another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from offload.celery import chain, chord, group
from offload.models import Job
from offload.testing import run_jobs
from tests.celery import tasks
from tests.celery.tasks import aadd, add, add_all, fail

pytestmark = pytest.mark.django_db

FOLLOWERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a step": (lambda: chain(add.s(1, 1), add.s(1).set(countdown=1000)), lambda result: result),
    "an async step": (
        lambda: chain(add.s(1, 1), aadd.s(1).set(countdown=1000)),
        lambda result: result,
    ),
    "a group": (
        lambda: chain(add.s(1, 1), group(add.s(1), add.s(2)).set(countdown=1000)),
        lambda result: result[0],
    ),
    "a body": (
        lambda: chord([add.s(1, 1), add.s(2, 2)], add_all.s().set(countdown=1000)),
        lambda result: result,
    ),
}


@pytest.mark.parametrize("name", FOLLOWERS)
def test_it_begins_when_the_task_before_has_ended(name):
    make, follower = FOLLOWERS[name]
    result = follower(make()())
    before = Job.objects.get(pk=result.id).run_after
    run_jobs()

    waiting = Job.objects.get(pk=result.id)
    ends = Job.objects.filter(finished_at__isnull=False, workflow__isnull=False)
    last_end = max(ends.values_list("finished_at", flat=True))
    assert before < last_end
    assert abs(waiting.run_after - last_end - timedelta(seconds=1000)) < timedelta(seconds=100)
    assert result.state == "PENDING"
    run_jobs(include_scheduled=True)
    assert result.state == "SUCCESS"


def test_that_of_the_first_task_begins_with_the_call():
    result = chain(add.s(1, 1), add.s(1)).apply_async(countdown=1000)
    first = Job.objects.get(pk=result.parent.id)

    assert abs(first.run_after - first.enqueued_at - timedelta(seconds=1000)) < timedelta(1e-3)


@pytest.mark.parametrize("task", [tasks.note_failure, tasks.anote_failure])
def test_that_of_an_errback_begins_with_the_failure(task):
    tasks.events.clear()
    fail.apply_async(link_error=task.s().set(countdown=1000))
    run_jobs()
    assert tasks.events == []
    run_jobs(include_scheduled=True)

    assert len(tasks.events) == 1


def test_it_is_over_if_the_task_before_has_ended_long_ago():
    result = chain(add.s(1, 1), add.s(1).set(countdown=1000))()
    Job.objects.filter(pk=result.id).update(queue_name="mail")
    run_jobs(queue_name="default")
    Job.objects.filter(pk=result.parent.id).update(finished_at=1)
    run_jobs(queue_name="mail")

    assert result.get() == 3


def test_a_task_that_is_put_back_knows_it_after_its_countdown():
    result = chain(add.s(1, 1), tasks.put_back_once.si().set(countdown=1000))()
    run_jobs(include_scheduled=True, limit=10)

    assert result.get() == "received two times"


def test_a_countdown_puts_no_task_back():
    result = chain(add.s(1, 1), tasks.about.si().set(countdown=1000))()
    run_jobs(include_scheduled=True)

    assert result.get()["delivery_info"]["redelivered"] is False
