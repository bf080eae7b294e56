"""Permissions: the status codes of each endpoint for each role, and what they do not reveal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, override_settings

import offload
from offload.live.access import grants, visible
from offload.live.documents import document
from offload.live.tokens import make_token
from offload.models import Job
from offload.task_lookup import find_task
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests import owners
from tests.live.clients import BROWSER, anonymous_client, start_job, token_client, user_client
from tests.live.endpoints import FULL_ACCESS, NO_ACCESS, READ_ACCESS, status_code, status_codes

pytestmark = pytest.mark.django_db

ROLES: dict[str, Callable[[], Client]] = {
    "owner": lambda: user_client("ada"),
    "other": lambda: user_client("ben"),
    "staff": lambda: user_client("cy", is_staff=True),
    "viewer": lambda: user_client("dee", "view_job", is_staff=True),
    "changer": lambda: user_client("eve", "view_job", "change_job", is_staff=True),
    "permitted": lambda: user_client("fay", "view_job", "change_job"),
    "superuser": lambda: user_client("gil", is_staff=True, is_superuser=True),
    "visitor": anonymous_client,
    "stranger": lambda: anonymous_client(session=False),
}

TABLE = {
    # Owned by ada.
    "shown": {
        "owner": FULL_ACCESS, "other": NO_ACCESS, "staff": NO_ACCESS,
        "viewer": READ_ACCESS, "changer": FULL_ACCESS, "permitted": NO_ACCESS,
        "superuser": FULL_ACCESS, "visitor": NO_ACCESS, "stranger": NO_ACCESS,
    },
    "for_staff": {
        "owner": NO_ACCESS, "other": NO_ACCESS, "staff": READ_ACCESS,
        "viewer": READ_ACCESS, "changer": FULL_ACCESS, "permitted": NO_ACCESS,
        "superuser": FULL_ACCESS, "visitor": NO_ACCESS, "stranger": NO_ACCESS,
    },
    "for_authenticated": {
        "owner": FULL_ACCESS, "other": READ_ACCESS, "staff": READ_ACCESS,
        "viewer": READ_ACCESS, "changer": FULL_ACCESS, "permitted": READ_ACCESS,
        "superuser": FULL_ACCESS, "visitor": NO_ACCESS, "stranger": NO_ACCESS,
    },
    "for_all": {
        "owner": FULL_ACCESS, "other": READ_ACCESS, "staff": READ_ACCESS,
        "viewer": READ_ACCESS, "changer": FULL_ACCESS, "permitted": READ_ACCESS,
        "superuser": FULL_ACCESS, "visitor": READ_ACCESS, "stranger": READ_ACCESS,
    },
    "for_named": {
        "owner": NO_ACCESS, "other": READ_ACCESS, "staff": NO_ACCESS,
        "viewer": NO_ACCESS, "changer": NO_ACCESS, "permitted": NO_ACCESS,
        "superuser": NO_ACCESS, "visitor": NO_ACCESS, "stranger": NO_ACCESS,
    },
}  # fmt: skip
TABLE["for_raising"] = dict.fromkeys(ROLES, NO_ACCESS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("task", TABLE)
def test_the_table_of_roles_and_urls(task, role):
    arguments = ["ben"] if "named" in task else []
    identifier = start_job(user_client("ada"), task, *arguments)
    run_jobs()

    assert status_codes(ROLES[role](), identifier) == TABLE[task][role]


@pytest.mark.parametrize("role", ROLES)
def test_a_job_without_an_owner_is_for_staff(role):
    identifier = find_task("tests.live.tasks.shown").enqueue(1).id
    run_jobs()

    codes = status_codes(ROLES[role](), identifier)

    if role in {"changer", "superuser"}:
        assert codes == FULL_ACCESS
    elif role in {"staff", "viewer"}:
        assert codes == READ_ACCESS
    else:
        assert codes == NO_ACCESS


@pytest.mark.parametrize("role", ROLES)
def test_a_job_whose_task_was_removed_is_for_its_owner(role):
    identifier = start_job(user_client("ada"), "for_all")
    run_jobs()
    Job.objects.update(task_path="tests.live.tasks.renamed")

    codes = status_codes(ROLES[role](), identifier)

    expected = {
        "owner": FULL_ACCESS,
        "viewer": READ_ACCESS,
        "changer": FULL_ACCESS,
        "superuser": FULL_ACCESS,
    }
    assert codes == {**expected.get(role, NO_ACCESS), "result": 404}


def test_removing_a_backend_does_not_change_who_sees_its_jobs():
    identifier = start_job(user_client("ada"), "shown")
    Job.objects.update(backend="gone")

    assert status_code(user_client("ada"), identifier, "status") == 200
    assert status_code(user_client("ben"), identifier, "status") == 404
    assert status_code(user_client("ada"), identifier, "cancel") == 202


def test_replacing_a_backend_does_not_change_who_sees_its_jobs(settings):
    identifier = start_job(user_client("ada"), "for_named", "ada")
    settings.TASKS = {
        "default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
        "jobs": {"BACKEND": "offload.backends.database.DatabaseBackend"},
    }

    assert status_code(user_client("ada"), identifier, "status") == 200
    assert status_code(user_client("ben"), identifier, "status") == 404
    assert status_code(user_client("ada"), identifier, "cancel") == 202


def test_a_session_owns_jobs_as_a_user_does():
    client = anonymous_client()
    identifier = start_job(client, "shown")
    run_jobs()

    assert status_codes(client, identifier) == FULL_ACCESS
    assert status_codes(anonymous_client(), identifier) == NO_ACCESS
    assert status_codes(anonymous_client(session=False), identifier) == NO_ACCESS


def test_a_deactivated_user_sees_nothing():
    client = user_client("ada")
    identifier = start_job(client)

    User.objects.update(is_active=False)

    assert status_code(client, identifier, "status") == 404


# --- what the responses reveal ------------------------------------------------------------------


def content_of(response: Any) -> tuple[Any, ...]:
    headers = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    return response.status_code, headers, response.content


@pytest.mark.parametrize("name", ["status", "page", "result", "cancel"])
@pytest.mark.parametrize("role", ["other", "staff", "permitted", "visitor", "stranger"])
@pytest.mark.parametrize("accept", ["*/*", BROWSER["Accept"]])
def test_the_responses_for_an_unknown_id_and_for_a_foreign_job_are_equal(name, role, accept):
    identifier = start_job(user_client("ada"), "shown")
    client = ROLES[role]()
    suffix = "" if name == "status" else f"{name}/"
    send = client.post if name == "cancel" else client.get

    foreign = content_of(send(f"/tasks/{identifier}/{suffix}", headers={"Accept": accept}))
    unknown = content_of(send(f"/tasks/{new_id()}/{suffix}", headers={"Accept": accept}))

    assert foreign == unknown
    assert foreign[0] == 404


def test_a_list_shows_unknown_and_foreign_jobs_alike():
    identifier, unknown = start_job(user_client("ada"), "shown"), str(new_id())

    response = user_client("ben").get("/tasks/", query_params={"ids": f"{identifier},{unknown}"})

    assert response.json() == {"items": [], "missing": [identifier, unknown], "poll_ms": None}


@pytest.mark.parametrize("role", ["other", "visitor", "stranger"])
def test_an_unknown_id_costs_as_many_queries_as_a_foreign_job(role, django_assert_num_queries):
    identifier = start_job(user_client("ada"), "shown")
    client = ROLES[role]()
    queries = {"other": 3, "visitor": 2, "stranger": 1}[role]

    for requested in (identifier, new_id()):
        with django_assert_num_queries(queries):
            client.get(f"/tasks/{requested}/")


def test_many_ids_cost_one_query(django_assert_num_queries):
    client = user_client("ada")
    ids = [start_job(client, task) for task in ("shown", "private", "for_all") for _ in range(5)]

    with django_assert_num_queries(3):  # the session, its user, the jobs
        response = client.get("/tasks/", query_params={"ids": ",".join(ids)})

    assert [item["id"] for item in response.json()["items"]] == ids


# --- tenants ------------------------------------------------------------------------------------


@pytest.fixture
def tenants() -> Iterator[None]:
    backend = {"BACKEND": "offload.backends.database.DatabaseBackend", "QUEUES": []}
    options = {"tenant_getter": "tests.owners.by_host"}
    with override_settings(TASKS={"default": {**backend, "OPTIONS": options}}, ALLOWED_HOSTS=["*"]):
        yield


@pytest.mark.parametrize("role", ["owner", "viewer", "changer", "superuser"])
@pytest.mark.parametrize("task", ["shown", "for_all"])
def test_another_tenant_sees_nothing(tenants, task, role):
    with offload.acting_for(user_client("ada").user, tenant="acme"):  # type: ignore[attr-defined]
        identifier = find_task(f"tests.live.tasks.{task}").enqueue().id
    run_jobs()
    client = ROLES[role]()

    codes = {}
    for host in ("acme.example", "other.example"):
        client.defaults["HTTP_HOST"] = host
        codes[host] = status_codes(client, identifier)

    assert codes["acme.example"] == TABLE[task][role]
    assert codes["other.example"] == NO_ACCESS


def test_a_token_is_valid_for_its_tenant_only(tenants):
    with offload.acting_for(None, tenant="acme"):
        identifier = find_task("tests.live.tasks.shown").enqueue().id
    client = token_client(make_token([identifier]))

    codes = [
        client.get(f"/tasks/{identifier}/", headers={"host": host}).status_code
        for host in ("acme.example", "other.example")
    ]

    assert codes == [200, 404]


def test_without_a_tenant_getter_a_job_with_a_tenant_is_not_shown():
    user = User.objects.create_user("ada")
    with offload.acting_for(user, tenant="acme"):
        identifier = find_task("tests.live.tasks.for_all").enqueue().id

    assert status_code(user_client("ada"), identifier, "status") == 404


@pytest.mark.parametrize("exists", [True, False])
def test_the_tenant_is_read_for_existing_and_unknown_jobs(exists):
    identifier = start_job(user_client("ada"), "shown") if exists else new_id()

    with owners.tenants("tests.owners.by_length"), pytest.raises(ValueError, match="tenant of 65"):
        user_client("ben").get(f"/tasks/{identifier}/")


# --- in Python ----------------------------------------------------------------------------------


def test_grants_and_visible_return_what_a_request_may_do(rf):
    client = user_client("ada")
    identifier = start_job(client, "shown")
    other = start_job(user_client("ben"), "for_all")
    start_job(user_client("ben"), "shown")
    request = rf.get("/")
    request.user = User.objects.get(username="ada")

    jobs = {job.pk: job for job in Job.objects.all()}
    visible_jobs = visible(request, list(jobs))

    assert {str(pk): set(granted) for pk, (_, granted) in visible_jobs.items()} == {
        identifier: {"status", "result", "cancel"},
        other: {"status", "result"},
    }
    assert [grants(request, job) for job in jobs.values()].count(frozenset()) == 1
    assert visible(request, []) == {}


def test_only_an_asgi_server_may_grant_a_stream(rf, async_rf):
    start_job(user_client("ben"), "for_all")
    job = Job.objects.get()

    for factory, granted in ((rf, False), (async_rf, True)):
        request = factory.get("/")
        request.user = User.objects.get(username="ben")
        found = grants(request, job)
        assert ("events" in found) == granted
        assert bool(document(job, found)["links"]["events"]) == granted
    stranger = async_rf.get("/")
    stranger.user = AnonymousUser()
    Job.objects.update(tenant="other")
    assert grants(stranger, Job.objects.get()) == frozenset()
