"""The examples of docs/howto/celery.md do what the page says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core import mail
from django.test import RequestFactory

from offload.testing import run_jobs
from tests import how_to
from tests.how_to import Load

PAGE = how_to.page("celery")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mailer(settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}


def test_views_start_a_newsletter_and_tell_its_state(load: Load, rf: RequestFactory) -> None:
    views = load("views")
    body = {"addresses": ["ann@example.com", "bob@example.com"]}
    started = json.loads(views.start(rf.post("/", body, content_type="application/json")).content)
    task_id = started["task_id"]

    def status() -> dict[str, Any]:
        state: dict[str, Any] = json.loads(views.status(rf.get("/"), task_id).content)
        return state

    assert status()["status"] == "PENDING"
    run_jobs()
    assert status() == {"task_id": task_id, "status": "SUCCESS", "result": {"sent": 2}}
    assert len(mail.outbox) == 2


@pytest.mark.django_db(transaction=True)
def test_a_view_answers_although_no_worker_runs(load: Load, rf: RequestFactory) -> None:
    assert load("prices").answer(rf.get("/")).status_code == 202


def test_a_receipt_follows_the_payment_of_an_order(load: Load) -> None:
    load("orders").order(7)

    ran = run_jobs()

    assert [result.task.name for result in ran] == ["charge", "send_receipt"]


@pytest.mark.parametrize(
    "name",
    ["in_ten_seconds", "tomorrow", "with_an_id", "by_name", "if_the_database_responds"],
)
def test_an_option_of_a_call_does_what_it_says(load: Load, name: str) -> None:
    result = getattr(load("calls"), name)()
    waits = name in {"in_ten_seconds", "tomorrow"}
    run_jobs()
    assert result.ready() is not waits
    run_jobs(include_scheduled=True)

    assert result.get() == {"id": result.id, "price": 6 if name == "in_ten_seconds" else 3}


def test_a_call_may_ignore_its_result(load: Load) -> None:
    result = load("calls").without_a_result()
    run_jobs()

    assert (result.get(), result.state) == (None, "SUCCESS")


def test_a_hook_of_the_class_tells_a_failure(load: Load, capsys: Any) -> None:
    result = load("calls").of_unknown_goods()
    run_jobs()

    assert capsys.readouterr().out == f"The task {result.id} failed: KeyError('gold')\n"
