"""The response of a view that has enqueued a job."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.http import JsonResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import Client, RequestFactory, override_settings

import offload
from offload.models import Job
from offload.testing import immediate, run_jobs
from tests.live.clients import BROWSER, JSON, anonymous_client, start_job, user_client
from tests.live.tasks import private, shown

pytestmark = pytest.mark.django_db

LOCATION_HEADERS = ["Location", "Content-Location"]


def send(client: Any, task: str = "shown", path: str = "/start/", **headers: str) -> Any:
    return client.post(path, query_params={"task": task}, headers=headers)


@pytest.mark.parametrize("path", ["/start/", "/start-async/"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", ""])
def test_a_script_gets_the_document_and_the_status_url(path, accept):
    client = user_client()

    response = send(client, path=path, Accept=accept)

    document = response.json()
    assert response.status_code == 202
    assert [response.headers[name] for name in LOCATION_HEADERS] == [document["links"]["self"]] * 2
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert document == client.get(response.headers["Location"]).json()
    assert document["phase"] == "queued"


def test_a_plain_form_is_redirected_to_the_page():
    client = user_client()

    response = send(client, **BROWSER)

    assert response.status_code == 303
    assert response.headers["Location"] == f"/tasks/{Job.objects.get().pk}/page/"
    assert response.headers["Cache-Control"] == "private, no-store"
    assert client.get(response.headers["Location"]).status_code == 200


def test_htmx_gets_a_fragment():
    response = send(user_client(), **{**BROWSER, "HX-Request": "true"})

    assert response.status_code == 202
    assert response.headers["Location"] == f"/tasks/{Job.objects.get().pk}/"
    assert response.text.lstrip().startswith("<")
    assert "<html" not in response.text


def test_the_response_costs_one_query_beside_the_enqueueing(django_assert_num_queries, rf):
    request = rf.post("/")
    request.user = User.objects.create_user("ada")
    with offload.acting_for(request.user):
        result = private.enqueue()

    with django_assert_num_queries(1):
        offload.accepted(request, result)


def test_the_response_for_a_finished_job_has_its_final_state():
    with immediate():
        response = send(user_client())

    assert response.status_code == 202
    assert response.json()["phase"] == "succeeded"
    assert response.headers["Retry-After"] == "1"


def test_a_warning_is_logged_if_the_client_may_not_see_its_job(caplog):
    client = Client(headers={**JSON, "Authorization": "Token none"})
    with caplog.at_level(logging.WARNING, "offload.live"):
        response = send(client)

    assert response.json()["phase"] == "queued"
    assert client.get(response.headers["Location"]).status_code == 404
    assert "will get 404 for it: the client that started it has no user" in caplog.text
    assert response.json()["id"] in caplog.text


def test_no_warning_is_logged_if_the_client_may_see_its_job(caplog):
    with caplog.at_level(logging.WARNING, "offload.live"):
        send(user_client())
        send(anonymous_client())
        send(anonymous_client(session=False), "for_all")

    assert caplog.records == []


def test_arguments_of_other_types_are_named(rf: RequestFactory) -> None:
    result = shown.enqueue()

    for arguments in [(rf.post("/"), result.id), (result, rf.post("/"))]:
        with pytest.raises(TypeError, match="takes the request and the result that enqueue"):
            offload.accepted(*arguments)  # type: ignore[arg-type]


def test_a_job_that_was_rolled_back_does_not_exist(rf):
    result = shown.enqueue(1)
    Job.objects.all().delete()

    with pytest.raises(TaskResultDoesNotExist):
        offload.accepted(rf.get("/"), result)


def test_without_urls_there_is_no_status_url(rf):
    result = shown.enqueue(1)

    with (
        override_settings(ROOT_URLCONF="tests.live.empty_urls"),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        offload.accepted(rf.get("/"), result)

    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "errors.md"
    message = str(caught.value).replace("tests.live.empty_urls", "mysite.urls")
    assert f"ImproperlyConfigured: {message}\n" in page.read_text()


def test_the_package_imports_no_other_names_lazily():
    with pytest.raises(AttributeError, match="has no attribute 'rejected'"):
        _ = offload.rejected


def test_a_view_may_respond_with_its_own_json_and_the_page_polls_the_state(rf):
    client = user_client()

    def view(request: Any) -> JsonResponse:
        return JsonResponse({"task_id": start_job(client, "shown", "5"), "status": "started"})

    response = json.loads(view(rf.post("/")).content)
    before = client.get(f"/tasks/{response['task_id']}/").json()
    run_jobs()
    after = client.get(f"/tasks/{response['task_id']}/").json()

    assert (before["is_finished"], after["is_finished"], after["result"]) == (False, True, "5")
