"""Results over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from offload.models import Job
from offload.testing import run_jobs
from tests.live.clients import is_private, start_job, user_client

pytestmark = pytest.mark.django_db


def result_of(task: str, *arguments: str) -> Any:
    client = user_client()
    identifier = start_job(client, task, *arguments)
    run_jobs()
    return client.get(f"/tasks/{identifier}/result/")


def test_a_result_is_the_return_value_as_json():
    response = result_of("shown", "</script><b>&")

    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == "</script><b>&"
    assert is_private(response)


def test_a_result_may_be_computed_by_a_function():
    client = user_client()
    identifier = start_job(client, "for_all")
    Job.objects.update(task_path="tests.live.tasks.exposed_sum", arguments="[[1,2],{}]")
    run_jobs()

    assert client.get(f"/tasks/{identifier}/result/").json() == {"sum": 3}
    assert client.get(f"/tasks/{identifier}/").json()["result"] is None


def test_a_result_may_be_a_file():
    response = result_of("exposed_file")

    assert response.getvalue() == b"a,b\r\n1,2\r\n"
    assert response.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    assert is_private(response)


def test_a_result_may_be_a_redirect():
    response = result_of("exposed_redirect")

    assert (response.status_code, response.headers["Location"]) == (
        302,
        "https://storage.example/x?signature=1",
    )
    assert is_private(response)


def test_a_result_that_was_deleted_is_not_found():
    response = result_of("exposed_not_found")

    assert response.status_code == 404
    assert "secret" not in response.text


def test_an_error_in_expose_result_reveals_nothing():
    response = result_of("broken_exposure")

    assert (response.status_code, response.json()["type"]) == (
        500,
        "urn:offload:result-unavailable",
    )
    assert "division" not in response.text


def test_an_unfinished_job_has_no_result():
    client = user_client()
    identifier = start_job(client, "shown")

    response = client.get(f"/tasks/{identifier}/result/")

    assert (response.status_code, response.json()["type"]) == (409, "urn:offload:unfinished")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("task", ["shown"])
def test_a_cancelled_job_has_no_result(task):
    client = user_client()
    identifier = start_job(client, task)
    client.post(f"/tasks/{identifier}/cancel/")

    response = client.get(f"/tasks/{identifier}/result/")

    assert (response.status_code, response.json()["type"]) == (409, "urn:offload:no-result")


@pytest.mark.parametrize("task", ["private", "explode"])
def test_a_result_that_is_not_exposed_is_not_found(task):
    assert result_of(task, *(["x"] if task == "explode" else [])).status_code == 404


def test_a_response_of_the_project_keeps_its_own_headers():
    response = result_of("cacheable")

    assert response.headers["Cache-Control"] == "private, max-age=60"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
