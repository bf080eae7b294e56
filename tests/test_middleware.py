"""The ownership of jobs that a request enqueues."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from offload.backends.database import DatabaseBackend
from offload.middleware import OffloadMiddleware
from offload.models import Job
from offload.owners import SESSION_KEY
from tests.live.clients import JSON, anonymous_client, start_job, user_client
from tests.owners import owner_and_tenant, tenants
from tests.tasks import add

pytestmark = pytest.mark.django_db


def test_a_job_belongs_to_the_user_of_the_request():
    client = user_client()

    identifier = start_job(client)

    assert Job.objects.get(pk=identifier).owner == f"user:{client.user.pk}"


def test_a_job_belongs_to_the_session_of_an_anonymous_visitor():
    client = anonymous_client()

    first, second, other = start_job(client), start_job(client), start_job(anonymous_client())

    owners = [Job.objects.get(pk=pk).owner for pk in (first, second, other)]
    assert owners[0].startswith("session:")
    assert owners[0] == owners[1] != owners[2]
    assert client.session.session_key not in owners[0]


def test_a_session_started_in_the_same_request_owns_the_job():
    def view(request):
        request.session["basket"] = [1]
        return HttpResponse(add.enqueue(1).id)

    request = RequestFactory().get("/")
    request.session = Client().session
    request.user = AnonymousUser()

    OffloadMiddleware(view)(request)

    assert owner_and_tenant() == (f"session:{request.session[SESSION_KEY]}", "")


def test_a_visitor_who_signs_in_keeps_earlier_jobs():
    client = anonymous_client()
    identifier = start_job(client)

    client.force_login(User.objects.create_user("ada"))

    assert client.get(f"/tasks/{identifier}/").status_code == 200
    assert Job.objects.get(pk=start_job(client)).owner.startswith("user:")


def test_signing_out_leaves_no_jobs_to_the_next_visitor():
    client = anonymous_client()
    before = start_job(client)
    client.force_login(User.objects.create_user("ada"))
    after = start_job(client)

    client.logout()

    assert [client.get(f"/tasks/{pk}/").status_code for pk in (before, after)] == [404, 404]


def test_a_request_that_enqueues_nothing_costs_nothing(django_assert_num_queries):
    for client in (user_client(), anonymous_client(), anonymous_client(session=False)):
        with django_assert_num_queries(0):
            response = client.get("/idle/")

        assert not response.wsgi_request.session.accessed


def test_the_owner_is_the_user_at_the_time_of_enqueueing():
    ada = User.objects.create_user("ada")

    def view(request):
        add.enqueue(1)
        request.user = ada
        return HttpResponse(add.enqueue(2).id)

    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    OffloadMiddleware(view)(request)

    assert [job.owner for job in Job.objects.order_by("pk")] == ["", f"user:{ada.pk}"]


@pytest.mark.parametrize("path", ["/start/", "/start-async/"])
def test_sync_and_async_views_under_wsgi(path):
    client = user_client()

    client.post(path, query_params={"task": "private"})

    assert owner_and_tenant() == (f"user:{client.user.pk}", "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/start/", "/start-async/"])
def test_sync_and_async_views_under_asgi(path):
    ada = User.objects.create_user("ada")

    async def send() -> None:
        client = AsyncClient(headers=JSON)
        await client.aforce_login(ada)
        await client.post(path, query_params={"task": "private"})
        await sync_to_async(connections.close_all)()

    asyncio.run(send())

    assert owner_and_tenant() == (f"user:{ada.pk}", "")


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_do_not_mix():
    users = [User.objects.create_user(name) for name in ("ada", "ben", "cy")]

    async def send(user: User) -> str:
        client = AsyncClient(headers=JSON)
        await client.aforce_login(user)
        response = await client.post("/start-async/", query_params={"task": "private"})
        return str(response.json()["id"])

    async def send_all() -> list[str]:
        try:
            return await asyncio.gather(*map(send, users * 3))
        finally:
            await sync_to_async(connections.close_all)()

    ids = asyncio.run(send_all())

    owners = [Job.objects.get(pk=pk).owner for pk in ids]
    assert owners == [f"user:{user.pk}" for user in users * 3]


def test_ownership_ends_with_the_request():
    start_job(user_client())

    result = add.enqueue(1)

    job = Job.objects.get(pk=result.id)
    assert (job.owner, job.tenant, job.request_id, job.parent) == ("", "", "", None)


def test_ownership_ends_with_a_failed_request():
    def view(request):
        raise ZeroDivisionError

    request = RequestFactory().get("/")
    request.user = User.objects.create_user("ada")
    with pytest.raises(ZeroDivisionError):
        OffloadMiddleware(view)(request)

    add.enqueue(1)

    assert owner_and_tenant() == ("", "")


# --- the request's id ---------------------------------------------------------------------------


def test_the_jobs_of_a_request_have_its_id():
    def view(request):
        add.enqueue(1)
        add.enqueue_many([((2,), {}), ((3,), {})])
        return HttpResponse()

    OffloadMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "a1.b-2:c/d"}))
    OffloadMiddleware(view)(RequestFactory().get("/"))

    ids = list(Job.objects.order_by("pk").values_list("request_id", flat=True))
    assert ids[:3] == ["a1.b-2:c/d"] * 3
    assert len(set(ids[3:])) == 1
    assert len(ids[3]) == 36


@pytest.mark.parametrize(
    "given", ["", "a" * 65, "a b", "<b>", "a\tb", "ä", "-a", "a\u2028b", "x" * 64 + "\n"]
)
def test_a_request_id_with_unsafe_characters_is_replaced(given):
    def view(request):
        add.enqueue(1)
        return HttpResponse()

    request = RequestFactory().get("/")
    request.META["HTTP_X_REQUEST_ID"] = given
    OffloadMiddleware(view)(request)

    assert Job.objects.get().request_id not in ("", given)


# --- tenants ------------------------------------------------------------------------------------


def test_the_tenant_is_read_by_the_projects_callable():
    with tenants():
        client = user_client()
        client.post("/start/", query_params={"task": "private"}, headers={"host": "acme.example"})

    assert owner_and_tenant() == (f"user:{client.user.pk}", "acme")


def test_outside_of_a_request_the_tenant_is_empty():
    with tenants():
        add.enqueue(1)

    assert owner_and_tenant() == ("", "")


def test_a_tenant_that_is_too_long_is_refused():
    client = user_client()
    with tenants("tests.owners.by_length"), pytest.raises(ValueError, match="at most 64"):
        client.post("/start/", query_params={"task": "private"})


@pytest.mark.parametrize("path", ["tests.gone", "tests.owners.NO_CALLABLE", 5])
def test_a_tenant_getter_that_cannot_be_called_is_an_error_of_the_settings(path):
    backend = DatabaseBackend("default", {"OPTIONS": {"tenant_getter": path}})

    assert [message.id for message in backend.check()] == ["offload.E001"]
    if path == 5:
        with pytest.raises(ImproperlyConfigured, match="dotted path"):
            _ = backend.settings
