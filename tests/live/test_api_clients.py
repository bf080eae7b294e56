"""Clients of Django REST framework and Ninja, which have a token and no session."""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient, Client, override_settings

from offload.models import Job
from offload.testing import run_jobs
from tests.live import api
from tests.live.clients import JSON, is_private, start_job, user_client
from tests.live.document_checks import check_document
from tests.live.tasks import shown

pytestmark = pytest.mark.django_db
HOW_TO = Path(__file__).parents[2] / "docs/howto/show-job-state.md"

APIS = pytest.mark.parametrize(
    ("scheme", "url"),
    [("Token", "/rest/start/"), ("Bearer", "/ninja/start/"), ("Bearer", "/ninja/start-async/")],
)


@pytest.fixture(autouse=True)
def user_getter(request: Any) -> Iterator[None]:
    name = getattr(request, "param", "user_of")
    options = {"user_getter": f"tests.live.api.{name}" if name else ""}
    tasks = {
        "default": {"BACKEND": "offload.backends.database.DatabaseBackend", "OPTIONS": options}
    }
    with override_settings(TASKS=tasks, ROOT_URLCONF="tests.live.api"):
        yield


def api_client(name: str = "ada", scheme: str = "Token", **headers: str) -> Client:
    User.objects.get_or_create(username=name)
    authorization = {"Authorization": f"{scheme} {name}"}
    return Client(enforce_csrf_checks=True, headers={**JSON, **authorization, **headers})


@APIS
@pytest.mark.django_db(transaction=True)
def test_the_links_of_the_response_work_for_its_client_only(scheme, url):
    client, other = api_client("ada", scheme), api_client("ben", scheme)
    response = client.post(url)
    document = response.json()
    check_document(document)
    links = document["links"]
    listed = client.get("/tasks/", query_params={"ids": document["id"]})
    refused = [other.get(links["self"]), other.post(links["cancel"]), Client().get(links["self"])]
    cancelled = client.post(links["cancel"])

    assert response.status_code == 202
    assert Job.objects.get().owner == f"user:{User.objects.get(username='ada').pk}"
    assert client.get(links["self"]).status_code == client.get(links["page"]).status_code == 200
    assert is_private(client.get(links["self"]))
    assert listed.json()["missing"] == []
    assert [response.status_code for response in refused] == [404, 404, 404]
    assert (cancelled.status_code, cancelled.json()["phase"]) == (202, "cancelled")


@pytest.mark.parametrize("scheme", ["Token", "Bearer"])
def test_the_result_is_served(scheme):
    client = api_client("ada", scheme)
    document = client.post("/rest/start/", headers={"Authorization": "Token ada"}).json()
    run_jobs()
    links = client.get(document["links"]["self"]).json()["links"]

    assert client.get(links["result"]).json() == "done"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("watched")
def test_the_stream_is_served():
    document = api_client().post("/rest/start/").json()
    run_jobs()

    async def scenario() -> str:
        client, headers = AsyncClient(), {"Authorization": "Token ada"}
        status = await client.get(document["links"]["self"], headers={**headers, **JSON})
        headers["Accept"] = "text/event-stream"
        response = await client.get(status.json()["links"]["events"], headers=headers)
        content = b"".join([part async for part in response.streaming_content])
        response.close()
        await sync_to_async(connections.close_all)()
        return content.decode()

    assert document["links"]["events"] is None  # as created under WSGI
    assert document["id"] in asyncio.run(scenario())


@pytest.mark.parametrize("user_getter", [""], indirect=True)
def test_without_the_option_a_token_of_a_framework_is_unknown():
    client = api_client()
    document = client.post("/rest/start/").json()

    assert client.get(document["links"]["self"]).status_code == 404


def test_a_refused_token_is_told_as_such():
    document = api_client().post("/rest/start/").json()
    client = Client(headers={**JSON, "Authorization": "Token nobody"})
    client.force_login(User.objects.get(username="ada"))
    responses = [client.get(document["links"]["self"]), client.post(document["links"]["cancel"])]

    for response in responses:
        assert response.status_code == 401
        assert response.json()["type"] == "urn:offload:token-refused"
        assert response.headers["WWW-Authenticate"]


def test_an_inactive_user_is_refused():
    client = api_client()
    document = client.post("/rest/start/").json()
    User.objects.update(is_active=False)

    assert client.get(document["links"]["self"]).status_code == 401


# --- cancelling, and pages of other sites ------------------------------------------------------


def test_the_password_that_a_browser_sends_by_itself_needs_a_csrf_token():
    User.objects.create_user("ada", password="secret")
    client = user_client("ada")
    identifier = start_job(client)
    basic = base64.b64encode(b"ada:secret").decode()
    browser = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": f"Basic {basic}"})

    assert browser.get(f"/tasks/{identifier}/").status_code == 200
    assert browser.post(f"/tasks/{identifier}/cancel/").status_code == 403
    assert client.get(f"/tasks/{identifier}/").json()["phase"] == "queued"


@pytest.mark.parametrize("user_getter", ["user_of_session"], indirect=True)
@pytest.mark.parametrize("scheme", ["Bearer", "Token"])
def test_a_user_of_a_cookie_does_not_replace_the_csrf_token(scheme):
    client: Any = user_client("ada")
    identifier = start_job(client)
    browser = Client(enforce_csrf_checks=True, headers={**JSON, "Authorization": f"{scheme} x"})
    browser.force_login(client.user)

    assert browser.get(f"/tasks/{identifier}/").status_code == 200  # by its session
    assert browser.post(f"/tasks/{identifier}/cancel/").status_code == 403


def test_the_header_comes_before_the_session():
    ben = start_job(user_client("ben"))
    ada = start_job(user_client("ada"))
    client = api_client("ada")
    client.force_login(User.objects.get(username="ben"))

    assert client.get(f"/tasks/{ada}/").status_code == 200
    assert client.get(f"/tasks/{ben}/").status_code == 404
    assert client.post(f"/tasks/{ben}/cancel/").status_code == 404


# --- idempotency keys --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_getter", "scheme", "url"),
    [
        ("user_of", "Token", "/rest/start/"),
        ("", "Token", "/rest/start/"),  # the framework sets request.user
        ("", "Token", "/rest/start-in-class/"),
        ("user_of", "Bearer", "/ninja/start/"),
        ("user_of", "Bearer", "/ninja/start-async/"),
    ],
    indirect=["user_getter"],
)
@pytest.mark.django_db(transaction=True)
def test_a_key_below_the_frameworks_decorator_starts_one_job(user_getter, scheme, url):
    client = api_client("ada", scheme, **{"Idempotency-Key": "order-42"})
    ids = {client.post(url).json()["id"] for _ in range(2)}

    assert len(ids) == Job.objects.count() == 1
    assert api_client("ben", scheme, **{"Idempotency-Key": "order-42"}).post(url).status_code == 202
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("user_getter", "jobs"), [("user_of", 1), ("", 2)], indirect=["user_getter"]
)
def test_a_key_above_the_frameworks_decorator_needs_the_option(user_getter, jobs, caplog):
    client = api_client("ada", **{"Idempotency-Key": "order-42"})
    for _ in range(2):
        client.post("/rest/start-outermost/")

    assert Job.objects.count() == jobs
    assert ("put @offload.idempotent below" in caplog.text) == (jobs == 2)


def test_the_documented_description_of_an_api_is_complete(monkeypatch):
    """OpenAPI requires a description of each response."""
    for name, value in (("ApiToken", api.Bearer), ("build_report", shown)):
        module = ModuleType("shop.api" if name == "ApiToken" else "shop.tasks")
        setattr(module, name, value)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    blocks = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "NinjaAPI(" in block]
    names: dict[str, Any] = {"__name__": "shop.views"}
    exec(block, names)

    (path,) = names["api"].get_openapi_schema(path_prefix="/api/")["paths"].values()
    responses = path["post"]["responses"]
    accepted = responses[202]["content"]["application/json"]["schema"]
    assert "is_finished" in accepted["required"]
    assert all(response["description"] for response in responses.values())
