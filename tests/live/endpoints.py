"""The URLs of a job, and the status codes with which they respond."""

from __future__ import annotations

from typing import Any

from django.test import Client

ENDPOINTS = ["status", "list", "page", "result", "cancel"]
FULL_ACCESS = {"status": 200, "list": 200, "page": 200, "result": 200, "cancel": 409}
"""The status codes for a client with all rights on a finished job."""
READ_ACCESS = {**FULL_ACCESS, "cancel": 404}
NO_ACCESS = dict.fromkeys(ENDPOINTS, 404)


def status_code(client: Client, identifier: Any, name: str) -> int:
    """Return the status code of one endpoint; 404 also for a list in which the job is missing."""
    if name == "list":
        response = client.get("/tasks/", query_params={"ids": str(identifier)})
        is_missing = response.status_code == 200 and response.json()["missing"]
        return 404 if is_missing else response.status_code
    url = f"/tasks/{identifier}/" + ("" if name == "status" else f"{name}/")
    send = client.post if name == "cancel" else client.get
    return send(url).status_code


def status_codes(client: Client, identifier: Any) -> dict[str, int]:
    """Return the status code of each endpoint."""
    return {name: status_code(client, identifier, name) for name in ENDPOINTS}
