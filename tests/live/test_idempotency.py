"""A form that is sent twice starts one job."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.http import HttpResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import Client, RequestFactory

import offload
from offload.models import Job
from offload.templatetags.offload import idempotency_key
from offload.uuid7 import created_at
from tests.live.clients import BROWSER, JSON, anonymous_client, is_private, user_client
from tests.live.tasks import private
from tests.models import Effect

PATHS = pytest.mark.parametrize("path", ["/once/", "/once-async/"])


@pytest.fixture
def key() -> str:
    """Return the key of a page."""
    match = re.search(r'value="([^"]+)"', idempotency_key())
    assert match is not None
    return match[1]


def send(client: Client, key: str = "", path: str = "/once/", **headers: str) -> Any:
    return client.post(path, {"idempotency_key": key} if key else {}, headers=headers)


@PATHS
@pytest.mark.django_db(transaction=True)
def test_a_key_starts_one_job_and_gets_the_same_response_again(path, key):
    client = user_client()
    first, second = (send(client, key, path) for _ in range(2))

    assert [first.status_code, second.status_code] == [202, 202]
    assert first.json()["id"] == second.json()["id"] == str(Job.objects.get().pk)
    assert Effect.objects.count() == 1, "the view was called again"


@pytest.mark.django_db
def test_the_key_may_be_in_a_header():
    client = user_client()
    ids = {send(client, **{"Idempotency-Key": "8e03978e"}).json()["id"] for _ in range(2)}

    assert len(ids) == 1


@pytest.mark.django_db
def test_a_job_of_a_key_without_a_time_is_not_said_to_be_pruned():
    job = send(user_client(), **{"Idempotency-Key": "order-42"}).json()["id"]
    Job.objects.all().delete()  # as if its transaction was rolled back

    with pytest.raises(TaskResultDoesNotExist, match="There is no job") as raised:
        private.get_result(job)
    assert not isinstance(raised.value, offload.TaskResultExpired)


@pytest.mark.django_db
def test_other_keys_users_and_views_and_no_key_start_other_jobs(key):
    ada, grace = user_client("ada"), user_client("grace")
    ids = [
        send(ada, key).json()["id"],
        send(ada, f"{key}.1").json()["id"],
        send(grace, key).json()["id"],
        send(ada, key, "/once-async/").json()["id"],
        send(ada).json()["id"],
        send(ada).json()["id"],
    ]

    assert len(set(ids)) == Job.objects.count() == 6


@pytest.mark.django_db
def test_the_id_of_the_job_has_the_time_of_the_page(key):
    job = send(user_client(), key).json()["id"]

    assert created_at(Job.objects.get().pk) == created_at(UUID(key))
    assert job != key


@pytest.mark.django_db
def test_a_visitor_is_identified_by_the_session(key):
    client = anonymous_client()
    ids = {send(client, key).json()["id"] for _ in range(2)}

    assert len(ids) == 1
    assert client.get(f"/tasks/{ids.pop()}/").status_code == 200


@pytest.mark.django_db
def test_a_visitor_without_a_session_is_identified_by_the_csrf_cookie(key):
    client = anonymous_client(session=False)
    client.cookies["csrftoken"] = "t" * 32
    first, again = send(client, key), send(client, key)
    del client.cookies["sessionid"]
    other, page = send(client, key), send(client, key, **BROWSER)

    assert Job.objects.count() == 1
    assert first.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert other.json()["type"] == "urn:offload:already-accepted", "it has another session"
    assert is_private(other)
    assert (page.status_code, page.headers["Content-Type"]) == (409, "text/html; charset=utf-8")
    assert "accepted before" in page.text


@pytest.mark.django_db
def test_unidentified_clients_do_not_share_a_job(key):
    ids = {send(anonymous_client(session=False), key).json()["id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.django_db
def test_a_plain_form_is_redirected_to_the_same_page_again(key):
    client = user_client()
    locations = {send(client, key, **BROWSER).headers["Location"] for _ in range(2)}

    assert len(locations) == 1


@pytest.mark.django_db
def test_a_refused_form_does_not_use_up_the_key(key):
    client = user_client()
    refused = client.post("/once/", {"idempotency_key": key, "refuse": "1"})
    accepted = send(client, key)

    assert refused.status_code == 400
    assert accepted.status_code == 202


@pytest.mark.django_db
def test_a_key_that_is_too_long_is_ignored():
    client = user_client()
    ids = {send(client, "k" * 256).json()["id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.django_db(transaction=True)
def test_an_integrity_error_that_is_not_about_the_job_is_raised(key):
    @offload.idempotent
    def view(request: Any) -> HttpResponse:
        raise IntegrityError("something else")

    request = RequestFactory().post("/", {"idempotency_key": key})
    request.COOKIES["csrftoken"] = "t"
    with pytest.raises(IntegrityError, match="something else"):
        view(request)


@pytest.mark.django_db
def test_only_the_first_job_of_a_view_gets_the_id(key):
    @offload.idempotent
    def view(request: Any) -> HttpResponse:
        results = private.enqueue_many([((), {})] * 2)
        return HttpResponse(" ".join(result.id for result in results))

    request = RequestFactory().post("/", {"idempotency_key": key}, headers=JSON)
    request.user = User.objects.create_user("ada")
    with offload.acting_for(request.user):
        first, again = view(request), view(request)

    assert first.text.split()[0] in again.headers["Location"]
    assert Job.objects.count() == 2


@PATHS
@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_requests_one_starts_its_job(path, key):
    """Each view waits until the other has started, so that neither finds the other's job.

    Transactions on SQLite start one after the other anyway.
    """
    user_client()
    is_concurrent = path == "/once-async/" or connection.vendor != "sqlite"
    barrier = threading.Barrier(2 if is_concurrent else 1, timeout=20)
    responses = send_concurrently(lambda: send(user_client(), key, f"{path}?race=1"), barrier)

    ids = {response.json()["id"] for response in responses}
    assert [response.status_code for response in responses] == [202, 202]
    assert ids == {str(Job.objects.get().pk)}
    if path == "/once/":
        assert Effect.objects.count() == 1, "the second was not rolled back"


def send_concurrently(send_one: Callable[[], Any], barrier: threading.Barrier) -> list[Any]:
    """Send a request twice at the same time; views with `race` wait at the barrier."""
    from tests.live import views  # noqa: PLC0415  # the module whose barrier is replaced

    views.barrier = barrier
    responses: list[Any] = []

    def run() -> None:
        try:
            responses.append(send_one())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(responses) == 2
    return responses


def test_each_page_has_another_key():
    assert idempotency_key() != idempotency_key()
