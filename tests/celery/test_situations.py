"""What projects do with Celery, by HTTP, with no more changed than the import."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client

from offload.models import Job
from offload.store import get_store
from offload.testing import run_jobs
from tests.celery import tasks
from tests.jobs import claim, register_worker

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.celery.urls")]


@pytest.fixture(autouse=True)
def mailer(settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}


def status(client: Client, task_id: str) -> dict[str, Any]:
    return client.get(f"/status/{task_id}/").json()


def test_a_view_starts_a_task_and_another_tells_its_state(client):
    started = client.get("/start/").json()
    task_id = started["task_id"]

    assert started == {"task_id": task_id, "status": "started"}
    assert status(client, task_id) == {"task_id": task_id, "status": "PENDING"}
    run_jobs()
    assert status(client, task_id) == {"task_id": task_id, "status": "SUCCESS", "result": 5}


def test_the_status_of_a_task_that_failed(client):
    task_id = tasks.fail.delay("no paper").id
    run_jobs()

    assert status(client, task_id) == {
        "task_id": task_id,
        "status": "FAILURE",
        "error": "no paper",
    }


@pytest.mark.parametrize("unknown", [str(uuid4()), "made-up"], ids=["UUID", "text"])
def test_the_status_of_an_unknown_id_is_404_and_not_pending(client, unknown):
    assert client.get(f"/status/{unknown}/").status_code == 404


def test_a_form_sends_a_mail_by_a_task(client):
    assert client.post("/sign-up/", {"email": "ann@example.com"}).content == b"Thank you!"
    assert mail.outbox == []
    run_jobs()

    assert [message.to for message in mail.outbox] == [["ann@example.com"]]


def test_a_task_sends_many_mails_with_progress(client):
    addresses = [f"{name}@example.com" for name in ("ann", "bob", "cem")]
    response = client.post(
        "/newsletter/", {"addresses": addresses}, content_type="application/json"
    )
    task_id = response.json()["task_id"]
    assert response.status_code == 202

    [ran] = run_jobs()

    assert len(mail.outbox) == 3
    assert (ran.progress.done, ran.progress.total) == (3, 3)
    assert status(client, task_id)["result"] == {"sent": 3}


def test_the_status_of_a_running_task_has_its_progress(client):
    task_id = tasks.send_newsletter.delay([]).id
    (job,) = claim(register_worker())
    note = '{"note":{"state":"PROGRESS","meta":{"current":1,"total":3}}}'
    with transaction.atomic():
        get_store("default").keep_progress([(job.key, note)])

    assert status(client, task_id) == {
        "task_id": task_id,
        "status": "PROGRESS",
        "current": 1,
        "total": 3,
    }


@pytest.mark.django_db(transaction=True)
def test_a_view_that_waits_in_vain_goes_on(client):
    response = client.get("/answer/")

    assert response.status_code == 202
    assert response.json()["task_id"] == str(Job.objects.get().pk)


def test_a_view_logs_the_exception_of_a_task(client, caplog):
    task_id = tasks.fail.delay("no paper").id
    run_jobs()
    response = client.get(f"/answer/{task_id}/")

    assert (response.status_code, response.json()) == (500, {"error": "Something went wrong."})
    assert "ValueError: no paper" in caplog.text


def test_our_pages_take_a_result_of_celery(client):
    response = client.get("/accept/", headers={"Accept": "application/json"})
    assert response.status_code == 202
    task_id = response.json()["id"]

    page = client.get(f"/page/{task_id}/").content.decode()

    assert task_id in page
    assert 'phase="missing"' not in page


def test_our_pages_take_a_result_with_an_id_of_its_own(client):
    client.get("/start/")  # the visitor has a session by now
    tasks.add.apply_async((1,), task_id="import-7")

    assert "<task-status" in client.get("/page/import-7/").content.decode()
