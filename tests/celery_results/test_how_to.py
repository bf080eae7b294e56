"""The examples of docs/howto/celery-results.md do what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app
from django.test import RequestFactory

from offload import acting_for
from offload.models import Job
from offload.testing import run_jobs
from tests import how_to
from tests.celery_apps import unsent
from tests.celery_results.reports import Task
from tests.how_to import Load
from tests.live.clients import user_client

PAGE = how_to.page("celery-results")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def current() -> Iterator[Celery]:
    """The application `unsent`, as that of the project."""
    previous = current_app._get_current_object()
    unsent.set_current()
    yield unsent
    unsent.tasks.pop("shop.tasks.build_report", None)
    previous.set_current()


@pytest.fixture
def started(load: Load) -> Any:
    """The answer of the view, for a user who is signed in."""
    ann = user_client("ann")
    with acting_for(ann.user):
        response = load("views").start(RequestFactory().post("/"))
    return ann, response


def test_the_caller_sees_the_task(started: Any, load: Load) -> None:
    ann, response = started
    assert response.status_code == 202
    (job,) = Job.objects.all()
    document = ann.get(f"/tasks/{job.pk}/").json()
    assert (document["title"], document["phase"]) == ("Monthly report", "queued")
    assert user_client("bob").get(f"/tasks/{job.pk}/").status_code == 404
    assert load("checks").is_known(str(job.pk))
    assert not load("checks").is_known("another")

    task = Task(str(job.pk), app=unsent)
    meta = {"current": 3, "total": 12, "description": "Adding up"}
    task.report("PROGRESS", meta)
    progress = ann.get(f"/tasks/{job.pk}/").json()["progress"]
    assert (progress["percent"], progress["message"]) == (25.0, "Adding up")
    task.report("SUCCESS", {"months": 12})
    assert ann.get(f"/tasks/{job.pk}/").json()["result"] == {"months": 12}


def test_old_results_are_deleted(load: Load) -> None:
    task = Task(app=unsent)
    task.report("SUCCESS", 1)
    Job.objects.update(finished_at=1_000_000_000)
    load("schedules").delete_old_results.enqueue()
    run_jobs()
    assert [job.task_path for job in Job.objects.all()] == ["shop.schedules.delete_old_results"]
