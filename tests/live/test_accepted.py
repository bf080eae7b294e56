"""What a view answers that has enqueued a job."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import JsonResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import override_settings
from django.urls import NoReverseMatch

import offload
from offload.models import Job
from offload.testing import immediate, run_jobs
from tests.live.clients import BROWSER, anonymous_client, start_job, user_client
from tests.live.tasks import private, shown

pytestmark = pytest.mark.django_db

PLACES = ["Location", "Content-Location"]


def send(client: Any, task: str = "shown", path: str = "/start/", **headers: str) -> Any:
    return client.post(path, query_params={"task": task}, headers=headers)


@pytest.mark.parametrize("path", ["/start/", "/start-async/"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", ""])
def test_a_script_gets_the_document_and_where_to_ask_again(path, accept):
    client = user_client()

    answer = send(client, path=path, Accept=accept)

    document = answer.json()
    assert answer.status_code == 202
    assert [answer.headers[name] for name in PLACES] == [document["links"]["self"]] * 2
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert document == client.get(answer.headers["Location"]).json()
    assert document["phase"] == "queued"


def test_a_plain_form_is_sent_to_the_page():
    client = user_client()

    answer = send(client, **BROWSER)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/tasks/{Job.objects.get().pk}/page/"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert client.get(answer.headers["Location"]).status_code == 200


def test_htmx_gets_a_fragment():
    answer = send(user_client(), **{**BROWSER, "HX-Request": "true"})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/tasks/{Job.objects.get().pk}/"
    assert answer.text.lstrip().startswith("<")
    assert "<html" not in answer.text


def test_it_costs_one_query_beside_the_enqueueing(django_assert_num_queries, rf):
    request = rf.post("/")
    request.user = User.objects.create_user("ada")
    with offload.acting_for(request.user):
        result = private.enqueue()

    with django_assert_num_queries(1):
        offload.accepted(request, result)


def test_of_a_job_that_has_ended_already_the_end_is_told():
    with immediate():
        answer = send(user_client())

    assert answer.status_code == 202
    assert answer.json()["phase"] == "succeeded"
    assert answer.headers["Retry-After"] == "1"


def test_who_starts_what_only_others_may_see_is_told_once_and_the_log_says_why(caplog):
    client = anonymous_client(session=False)
    with caplog.at_level(logging.WARNING, "offload.live"):
        answer = send(client)

    assert answer.json()["phase"] == "queued"
    assert client.get(answer.headers["Location"]).status_code == 404
    assert "has no permission to see it" in caplog.text
    assert answer.json()["id"] in caplog.text


def test_who_may_see_it_is_not_warned_about(caplog):
    with caplog.at_level(logging.WARNING, "offload.live"):
        send(user_client())
        send(anonymous_client())
        send(anonymous_client(session=False), "for_all")

    assert caplog.records == []


def test_a_job_that_was_rolled_back_is_not_there(rf):
    result = shown.enqueue(1)
    Job.objects.all().delete()

    with pytest.raises(TaskResultDoesNotExist):
        offload.accepted(rf.get("/"), result)


def test_without_urls_there_is_no_place_to_ask_again(rf):
    result = shown.enqueue(1)

    with override_settings(ROOT_URLCONF="tests.live.empty_urls"), pytest.raises(NoReverseMatch):
        offload.accepted(rf.get("/"), result)


def test_a_module_has_no_other_names_to_import_late():
    with pytest.raises(AttributeError, match="has no attribute 'rejected'"):
        _ = offload.rejected


def test_a_view_may_answer_as_it_likes_and_the_page_asks_for_the_state(rf):
    client = user_client()

    def view(request: Any) -> JsonResponse:
        return JsonResponse({"task_id": start_job(client, "shown", "5"), "status": "started"})

    answer = json.loads(view(rf.post("/")).content)
    before = client.get(f"/tasks/{answer['task_id']}/").json()
    run_jobs()
    after = client.get(f"/tasks/{answer['task_id']}/").json()

    assert (before["is_finished"], after["is_finished"], after["result"]) == (False, True, "5")
