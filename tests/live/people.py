"""The people of the tests: each asks with a client of their own."""

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


def person(name: str = "ada", *permissions: str, **flags: Any) -> Client:
    """Return the client of somebody who is signed in; `client.user` is the user."""
    client: Any = Client(headers=JSON)
    client.user, is_new = User.objects.get_or_create(username=name, defaults=flags)
    if is_new:
        wanted = Permission.objects.filter(codename__in=permissions)
        client.user.user_permissions.set(wanted)
    client.force_login(client.user)
    return client


def visitor(*, session: bool = True) -> Client:
    """Return the client of somebody unknown, with something in the session or without one."""
    client = Client(headers=JSON)
    if session:
        kept = client.session
        kept["basket"] = [1]
        kept.save()
    return client


def holder(token: str) -> Client:
    """Return the client of somebody who has nothing but a token."""
    return Client(headers={**JSON, "Authorization": f"Offload {token}"})


def start(client: Client, task: str = "private", *arguments: str) -> str:
    """Enqueue a task in a request; return the job's id."""
    answer = client.post("/start/", query_params={"task": task, "with": list(arguments)})
    assert answer.status_code == 202
    return str(answer.json()["id"])


def is_private(answer: Any) -> bool:
    """Tell whether an answer is kept nowhere and shared with nobody."""
    varies = {name.strip() for name in answer.headers["Vary"].split(",")}
    needed = {"Cookie", "Authorization", "Accept"}
    return PRIVATE.items() <= dict(answer.headers).items() and needed <= varies
