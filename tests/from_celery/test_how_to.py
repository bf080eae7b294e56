"""The examples of docs/howto/move-from-celery.md do what the page says."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from django.http import Http404
from django.test import RequestFactory
from django.utils import timezone

from offload import schedules
from offload.models import Job
from tests import celery_tables, how_to
from tests.from_celery import tasks
from tests.from_celery.brokers import PATH, FilledBroker
from tests.from_celery.conftest import Run
from tests.how_to import Load

PAGE = how_to.page("move-from-celery")

pytestmark = pytest.mark.django_db


def test_the_commands_exist() -> None:
    assert how_to.parse_commands(PAGE) == 2


def test_a_row_of_the_digest_becomes_a_schedule(load: Load, run: Run) -> None:
    load("tasks")
    day = celery_tables.IntervalSchedule.objects.create(every=1, period="days")
    celery_tables.PeriodicTask.objects.create(
        name="digest", task="shop.tasks.send_digest", interval=day, args='["weekly"]'
    )

    run("--write")

    assert schedules.get("digest").when == "every day"


def test_the_status_view_finds_jobs_and_old_results(
    load: Load, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    package: Any = ModuleType("django_celery_results.models")
    package.TaskResult = celery_tables.TaskResult  # the same table
    monkeypatch.setitem(sys.modules, "django_celery_results.models", package)
    monkeypatch.setitem(sys.modules, "django_celery_results", ModuleType("django_celery_results"))
    celery_tables.TaskResult.objects.create(task_id="old", status="FAILURE")
    views = load("views")

    def status(task_id: str) -> str:
        state: str = json.loads(views.status(rf.get("/"), task_id).content)["status"]
        return state

    assert status(tasks.add.delay(1, 2).id) == "PENDING"
    assert status("old") == "FAILURE"
    with pytest.raises(Http404):
        status("none")


def test_waiting_jobs_go_back_to_celery_and_come_again(
    load: Load, run: Run, broker: FilledBroker
) -> None:
    eta = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    ids = [
        tasks.add.apply_async((1, 2), queue=broker.queue, headers={"tenant": "acme"}).id,
        tasks.add.apply_async((3, 4), queue=broker.queue, eta=eta).id,
    ]
    tasks.own_id.apply_async(task_id="import-7", queue=broker.queue)

    sent = load("back_to_celery").send_back(broker.app)

    assert set(ids) < set(sent)
    assert Job.objects.count() == 0
    assert broker.waiting() == 3
    run("--write")
    found = {str(job.pk): job for job in Job.objects.filter(task_path=f"{PATH}.add")}
    assert found.keys() == set(ids)
    assert found[ids[1]].run_after == eta
    assert "acme" in found[ids[0]].arguments
    assert Job.objects.count() == 3
