"""What a job returned, over HTTP."""

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


def test_a_result_is_the_json_that_the_task_returned():
    answer = result_of("shown", "</script><b>&")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == "</script><b>&"
    assert is_private(answer)


def test_a_result_may_be_made_for_the_reader():
    client = user_client()
    identifier = start_job(client, "for_all")
    Job.objects.update(task_path="tests.live.tasks.summed", arguments="[[1,2],{}]")
    run_jobs()

    assert client.get(f"/tasks/{identifier}/result/").json() == {"sum": 3}
    assert client.get(f"/tasks/{identifier}/").json()["result"] is None


def test_a_result_may_be_a_file_to_keep():
    answer = result_of("filed")

    assert answer.getvalue() == b"a,b\r\n1,2\r\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    assert is_private(answer)


def test_a_result_may_be_elsewhere():
    answer = result_of("stored")

    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        "https://storage.example/x?signature=1",
    )
    assert is_private(answer)


def test_a_result_that_is_gone_is_not_found():
    answer = result_of("deleted")

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_code_that_fails_to_show_a_result_tells_nothing():
    answer = result_of("broken_view")

    assert (answer.status_code, answer.json()["type"]) == (500, "urn:offload:result-unavailable")
    assert "division" not in answer.text


def test_a_result_is_not_there_before_the_end():
    client = user_client()
    identifier = start_job(client, "shown")

    answer = client.get(f"/tasks/{identifier}/result/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:unfinished")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("task", ["shown"])
def test_a_job_that_failed_has_no_result(task):
    client = user_client()
    identifier = start_job(client, task)
    client.post(f"/tasks/{identifier}/cancel/")

    answer = client.get(f"/tasks/{identifier}/result/")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:offload:no-result")


@pytest.mark.parametrize("task", ["private", "explode"])
def test_a_result_that_is_not_exposed_is_not_found(task):
    assert result_of(task, *(["x"] if task == "explode" else [])).status_code == 404


def test_an_answer_of_a_project_keeps_its_own_headers():
    found = result_of("cacheable")

    assert found.headers["Cache-Control"] == "private, max-age=60"
    assert found.headers["X-Content-Type-Options"] == "nosniff"
