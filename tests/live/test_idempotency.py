"""A form that is sent twice starts one job."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory

import offload
from offload.models import Job
from offload.templatetags.offload import idempotency_key
from offload.uuid7 import created_at
from tests.live.clients import BROWSER, JSON, anonymous_client, user_client
from tests.live.tasks import private
from tests.models import Effect

PATHS = pytest.mark.parametrize("path", ["/once/", "/once-async/"])


@pytest.fixture
def key() -> str:
    """A key as a page has it."""
    found = re.search(r'value="([^"]+)"', idempotency_key())
    assert found is not None
    return found[1]


def send(client: Client, key: str = "", path: str = "/once/", **headers: str) -> Any:
    return client.post(path, {"idempotency_key": key} if key else {}, headers=headers)


@PATHS
@pytest.mark.django_db(transaction=True)
def test_a_key_starts_one_job_and_is_answered_alike(path, key):
    client = user_client()
    first, second = (send(client, key, path) for _ in range(2))

    assert [first.status_code, second.status_code] == [202, 202]
    assert first.json()["id"] == second.json()["id"] == str(Job.objects.get().pk)
    assert Effect.objects.count() == 1, "the view was called again"


@pytest.mark.django_db
def test_the_header_is_as_good_as_the_field():
    client = user_client()
    ids = {send(client, **{"Idempotency-Key": "8e03978e"}).json()["id"] for _ in range(2)}

    assert len(ids) == 1


@pytest.mark.django_db
def test_other_keys_other_people_other_views_and_no_key_start_other_jobs(key):
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
def test_the_id_of_the_job_has_the_age_of_the_page(key):
    job = send(user_client(), key).json()["id"]

    assert created_at(Job.objects.get().pk) == created_at(UUID(key))
    assert job != key


@pytest.mark.django_db
def test_a_visitor_is_known_by_the_session(key):
    client = anonymous_client()
    ids = {send(client, key).json()["id"] for _ in range(2)}

    assert len(ids) == 1
    assert client.get(f"/tasks/{ids.pop()}/").status_code == 200


@pytest.mark.django_db
def test_a_visitor_without_a_session_is_known_by_the_csrf_cookie(key):
    client = anonymous_client(session=False)
    client.cookies["csrftoken"] = "t" * 32
    assert len({send(client, key).json()["id"] for _ in range(2)}) == 1


@pytest.mark.django_db
def test_who_cannot_be_told_from_others_gets_nobody_elses_job(key):
    ids = {send(anonymous_client(session=False), key).json()["id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.django_db
def test_a_plain_form_is_sent_to_the_same_page_again(key):
    client = user_client()
    places = {send(client, key, **BROWSER).headers["Location"] for _ in range(2)}

    assert len(places) == 1


@pytest.mark.django_db
def test_a_refused_form_leaves_the_key_for_the_next_try(key):
    client = user_client()
    refused = client.post("/once/", {"idempotency_key": key, "refuse": "1"})
    accepted = send(client, key)

    assert refused.status_code == 400
    assert accepted.status_code == 202


@pytest.mark.django_db
def test_an_endless_key_is_no_key():
    client = user_client()
    ids = {send(client, "k" * 256).json()["id"] for _ in range(2)}

    assert len(ids) == 2


@pytest.mark.django_db(transaction=True)
def test_a_conflict_that_is_not_about_the_job_is_raised(key):
    @offload.idempotent
    def view(request: Any) -> HttpResponse:
        raise IntegrityError("something else")

    request = RequestFactory().post("/", {"idempotency_key": key})
    request.COOKIES["csrftoken"] = "t"
    with pytest.raises(IntegrityError, match="something else"):
        view(request)


@pytest.mark.django_db
def test_only_the_first_job_of_a_view_has_the_id(key):
    @offload.idempotent
    def view(request: Any) -> HttpResponse:
        results = private.enqueue_many([((), {})] * 2)
        return HttpResponse(" ".join(result.id for result in results))

    request = RequestFactory().post("/", {"idempotency_key": key}, headers=JSON)
    request.COOKIES["csrftoken"] = "t"
    first = view(request)
    with offload.acting_for(None):
        again = view(request)

    assert first.text.split()[0] in again.headers["Location"]
    assert Job.objects.count() == 2


@PATHS
@pytest.mark.django_db(transaction=True)
def test_of_two_that_come_at_once_one_starts_its_job(path, key):
    """Each view waits for the other to have begun, so neither sees the other's job before.

    Transactions on SQLite begin one after the other anyway.
    """
    user_client()
    meets = path == "/once-async/" or connection.vendor != "sqlite"
    barrier = threading.Barrier(2 if meets else 1, timeout=20)
    answers = together(lambda: send(user_client(), key, f"{path}?race=1"), barrier)

    ids = {answer.json()["id"] for answer in answers}
    assert [answer.status_code for answer in answers] == [202, 202]
    assert ids == {str(Job.objects.get().pk)}
    if path == "/once/":
        assert Effect.objects.count() == 1, "the second was not rolled back"


def together(ask: Callable[[], Any], barrier: threading.Barrier) -> list[Any]:
    """Ask twice at once; views that race wait at the barrier."""
    from tests.live import views  # noqa: PLC0415  # its barrier

    views.barrier = barrier
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 2
    return answers


def test_each_page_has_a_key_of_its_own():
    assert idempotency_key() != idempotency_key()
