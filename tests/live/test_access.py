"""Who sees what: each role at each URL, and the table says what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

import offload
from offload.live.access import grants, visible
from offload.live.tokens import make_token
from offload.models import Job
from offload.task_lookup import find_task
from offload.testing import run_jobs
from offload.uuid7 import new_id
from tests import owners
from tests.live.doors import NOT_CANCELLED, NOTHING, SEEN, answers, ask
from tests.live.people import BROWSER, holder, person, start, visitor

pytestmark = pytest.mark.django_db

ROLES: dict[str, Callable[[], Client]] = {
    "owner": lambda: person("ada"),
    "other": lambda: person("ben"),
    "staff": lambda: person("cy", is_staff=True),
    "viewer": lambda: person("dee", "view_job", is_staff=True),
    "changer": lambda: person("eve", "view_job", "change_job", is_staff=True),
    "permitted": lambda: person("fay", "view_job", "change_job"),
    "superuser": lambda: person("gil", is_staff=True, is_superuser=True),
    "visitor": visitor,
    "stranger": lambda: visitor(session=False),
}

TABLE = {
    # Owned by ada.
    "shown": {
        "owner": SEEN, "other": NOTHING, "staff": NOTHING, "viewer": NOT_CANCELLED,
        "changer": SEEN, "permitted": NOTHING, "superuser": SEEN, "visitor": NOTHING,
        "stranger": NOTHING,
    },
    "for_staff": {
        "owner": NOTHING, "other": NOTHING, "staff": NOT_CANCELLED, "viewer": NOT_CANCELLED,
        "changer": SEEN, "permitted": NOTHING, "superuser": SEEN, "visitor": NOTHING,
        "stranger": NOTHING,
    },
    "for_authenticated": {
        "owner": SEEN, "other": NOT_CANCELLED, "staff": NOT_CANCELLED, "viewer": NOT_CANCELLED,
        "changer": SEEN, "permitted": NOT_CANCELLED, "superuser": SEEN, "visitor": NOTHING,
        "stranger": NOTHING,
    },
    "for_all": {
        "owner": SEEN, "other": NOT_CANCELLED, "staff": NOT_CANCELLED, "viewer": NOT_CANCELLED,
        "changer": SEEN, "permitted": NOT_CANCELLED, "superuser": SEEN,
        "visitor": NOT_CANCELLED, "stranger": NOT_CANCELLED,
    },
    "for_named": {
        "owner": NOTHING, "other": NOT_CANCELLED, "staff": NOTHING, "viewer": NOTHING,
        "changer": NOTHING, "permitted": NOTHING, "superuser": NOTHING, "visitor": NOTHING,
        "stranger": NOTHING,
    },
}  # fmt: skip
TABLE["for_raising"] = dict.fromkeys(ROLES, NOTHING)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("task", TABLE)
def test_the_table_of_roles_and_urls(task, role):
    arguments = ["ben"] if "named" in task else []
    identifier = start(person("ada"), task, *arguments)
    run_jobs()

    assert answers(ROLES[role](), identifier) == TABLE[task][role]


@pytest.mark.parametrize("role", ROLES)
def test_a_job_of_nobody_is_for_staff(role):
    identifier = find_task("tests.live.tasks.shown").enqueue(1).id
    run_jobs()

    found = answers(ROLES[role](), identifier)

    if role in {"changer", "superuser"}:
        assert found == SEEN
    elif role in {"staff", "viewer"}:
        assert found == NOT_CANCELLED
    else:
        assert found == NOTHING


@pytest.mark.parametrize("role", ROLES)
def test_a_task_that_is_gone_is_for_its_owner(role):
    identifier = start(person("ada"), "for_all")
    run_jobs()
    Job.objects.update(task_path="tests.live.tasks.renamed")

    found = answers(ROLES[role](), identifier)

    expected = {"owner": SEEN, "viewer": NOT_CANCELLED, "changer": SEEN, "superuser": SEEN}
    assert found == {**expected.get(role, NOTHING), "result": 404}


def test_a_backend_that_is_gone_takes_no_rights_and_gives_none():
    identifier = start(person("ada"), "shown")
    Job.objects.update(backend="gone")

    assert ask(person("ada"), identifier, "status") == 200
    assert ask(person("ben"), identifier, "status") == 404
    assert ask(person("ada"), identifier, "cancel") == 202


def test_so_does_a_backend_that_is_another_one_by_now(settings):
    identifier = start(person("ada"), "for_named", "ada")
    settings.TASKS = {
        "default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
        "jobs": {"BACKEND": "offload.backends.database.DatabaseBackend"},
    }

    assert ask(person("ada"), identifier, "status") == 200
    assert ask(person("ben"), identifier, "status") == 404
    assert ask(person("ada"), identifier, "cancel") == 202


def test_the_session_of_a_visitor_is_as_good_as_a_user():
    client = visitor()
    identifier = start(client, "shown")
    run_jobs()

    assert answers(client, identifier) == SEEN
    assert answers(visitor(), identifier) == NOTHING
    assert answers(visitor(session=False), identifier) == NOTHING


def test_a_user_who_is_deactivated_sees_nothing():
    client = person("ada")
    identifier = start(client)

    User.objects.update(is_active=False)

    assert ask(client, identifier, "status") == 404


# --- what the answers give away -----------------------------------------------------------------


def raw(answer: Any) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("name", ["status", "page", "result", "cancel"])
@pytest.mark.parametrize("role", ["other", "staff", "permitted", "visitor", "stranger"])
@pytest.mark.parametrize("accept", ["*/*", BROWSER["Accept"]])
def test_an_unknown_id_and_somebody_elses_are_answered_alike(name, role, accept):
    identifier = start(person("ada"), "shown")
    client = ROLES[role]()
    suffix = "" if name == "status" else f"{name}/"
    send = client.post if name == "cancel" else client.get

    mine = raw(send(f"/tasks/{identifier}/{suffix}", headers={"Accept": accept}))
    unknown = raw(send(f"/tasks/{new_id()}/{suffix}", headers={"Accept": accept}))

    assert mine == unknown
    assert mine[0] == 404


def test_so_are_they_in_a_list():
    identifier, unknown = start(person("ada"), "shown"), str(new_id())

    answer = person("ben").get("/tasks/", query_params={"ids": f"{identifier},{unknown}"})

    assert answer.json() == {"items": [], "missing": [identifier, unknown], "poll_ms": None}


@pytest.mark.parametrize("role", ["other", "visitor", "stranger"])
def test_an_unknown_id_costs_as_much_as_somebody_elses(role, django_assert_num_queries):
    identifier = start(person("ada"), "shown")
    client = ROLES[role]()
    queries = {"other": 3, "visitor": 2, "stranger": 1}[role]

    for each in (identifier, new_id()):
        with django_assert_num_queries(queries):
            client.get(f"/tasks/{each}/")


def test_many_ids_cost_one_query(django_assert_num_queries):
    client = person("ada")
    ids = [start(client, task) for task in ("shown", "private", "for_all") for _ in range(5)]

    with django_assert_num_queries(3):  # the session, its user, the jobs
        answer = client.get("/tasks/", query_params={"ids": ",".join(ids)})

    assert [item["id"] for item in answer.json()["items"]] == ids


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
    with offload.acting_for(person("ada").user, tenant="acme"):  # type: ignore[attr-defined]
        identifier = find_task(f"tests.live.tasks.{task}").enqueue().id
    run_jobs()
    client = ROLES[role]()

    found = {}
    for host in ("acme.example", "other.example"):
        client.defaults["HTTP_HOST"] = host
        found[host] = answers(client, identifier)

    assert found["acme.example"] == TABLE[task][role]
    assert found["other.example"] == NOTHING


def test_a_token_is_good_for_its_tenant_only(tenants):
    with offload.acting_for(None, tenant="acme"):
        identifier = find_task("tests.live.tasks.shown").enqueue().id
    client = holder(make_token([identifier]))

    codes = [
        client.get(f"/tasks/{identifier}/", headers={"host": host}).status_code
        for host in ("acme.example", "other.example")
    ]

    assert codes == [200, 404]


def test_without_tenants_a_job_that_has_one_is_nobodys():
    user = User.objects.create_user("ada")
    with offload.acting_for(user, tenant="acme"):
        identifier = find_task("tests.live.tasks.for_all").enqueue().id

    assert ask(person("ada"), identifier, "status") == 404


@pytest.mark.parametrize("is_there", [True, False])
def test_the_tenant_is_asked_for_whether_there_is_a_job_or_not(is_there):
    identifier = start(person("ada"), "shown") if is_there else new_id()

    with owners.tenants("tests.owners.by_length"), pytest.raises(ValueError, match="tenant of 65"):
        person("ben").get(f"/tasks/{identifier}/")


# --- in Python ----------------------------------------------------------------------------------


def test_grants_and_visible_say_what_may_be_done(rf):
    client = person("ada")
    identifier = start(client, "shown")
    other = start(person("ben"), "for_all")
    start(person("ben"), "shown")
    request = rf.get("/")
    request.user = User.objects.get(username="ada")

    jobs = {job.pk: job for job in Job.objects.all()}
    seen = visible(request, list(jobs))

    assert {str(pk): set(granted) for pk, (_, granted) in seen.items()} == {
        identifier: {"status", "result", "cancel"},
        other: {"status", "result"},
    }
    assert [grants(request, job) for job in jobs.values()].count(frozenset()) == 1
    assert visible(request, []) == {}
