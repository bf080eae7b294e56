"""Clients of users, of anonymous visitors and of holders of tokens."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

JSON = {"Accept": "*/*"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PRIVATE = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def user_client(name: str = "ada", *permissions: str, **flags: Any) -> Client:
    """Return the client of a signed-in user, who is `client.user`."""
    client: Any = Client(headers=JSON)
    client.user, is_new = User.objects.get_or_create(username=name, defaults=flags)
    if is_new:
        client.user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(client.user)
    return client


def anonymous_client(*, session: bool = True) -> Client:
    """Return the client of an anonymous visitor, with something in the session or without one."""
    client = Client(headers=JSON)
    if session:
        client_session = client.session
        client_session["basket"] = [1]
        client_session.save()
    return client


def token_client(token: str) -> Client:
    """Return a client that has only a token."""
    return Client(headers={**JSON, "Authorization": f"Offload {token}"})


def session_headers(client: Client) -> dict[str, str]:
    """Return the headers of the client's session, for a request by other means."""
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


def start_job(client: Client, task: str = "private", *arguments: str) -> str:
    """Enqueue a task in a request; return the job's id."""
    response = client.post("/start/", query_params={"task": task, "with": list(arguments)})
    assert response.status_code == 202
    return str(response.json()["id"])


def is_private(response: Any) -> bool:
    """Return whether caches may neither store nor share a response."""
    varies = {name.strip() for name in response.headers["Vary"].split(",")}
    has_headers = PRIVATE.items() <= dict(response.headers).items()
    return has_headers and {"Cookie", "Authorization", "Accept"} <= varies
