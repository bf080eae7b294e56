"""A view whose call makes no job, because another one holds its key."""

from __future__ import annotations

from typing import Any

import pytest

from offload.models import Job
from tests.live.clients import BROWSER, anonymous_client, user_client

pytestmark = pytest.mark.django_db


def start(client: Any, path: str = "/start/", **headers: str) -> Any:
    return client.post(path, query_params={"task": "once", "with": "7"}, headers=headers)


@pytest.mark.parametrize("path", ["/start/", "/start-async/"])
def test_the_owner_gets_the_job_that_exists(path: str) -> None:
    client = user_client("ada")
    first = start(client)

    second = start(client, path)

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert Job.objects.count() == 1


def test_a_form_of_the_owner_is_redirected_to_the_page_of_the_job_that_exists() -> None:
    client = user_client("ada")
    start(client)

    assert start(client, **BROWSER).headers["Location"] == f"/tasks/{Job.objects.get().pk}/page/"


@pytest.mark.parametrize("stranger", [lambda: user_client("bob"), anonymous_client])
def test_nobody_else_learns_anything_of_the_job(stranger: Any) -> None:
    start(user_client("ada"))
    job = Job.objects.get()
    client = stranger()

    for response in (start(client), start(client, **BROWSER)):
        assert response.status_code == 409
        assert str(job.pk) not in response.text
        assert "Location" not in response.headers
        assert response.headers["Cache-Control"] == "private, no-store"
    assert start(client).json() == {
        "type": "urn:offload:already-enqueued",
        "title": "The same task has already been started. You are not allowed to see it.",
        "status": 409,
    }
    assert Job.objects.count() == 1


def test_staff_who_may_see_all_jobs_get_it() -> None:
    start(user_client("ada"))

    assert start(user_client("eve", "view_job", is_staff=True)).status_code == 202
