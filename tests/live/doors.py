"""Every URL of a job, and how it answers somebody."""

from __future__ import annotations

from typing import Any

from django.test import Client

URLS = ["status", "list", "page", "result", "cancel"]
SEEN = {"status": 200, "list": 200, "page": 200, "result": 200, "cancel": 409}
"""What somebody gets who may do all with a job that has ended."""
NOT_CANCELLED = {**SEEN, "cancel": 404}
NOTHING = dict.fromkeys(URLS, 404)


def ask(client: Client, identifier: Any, name: str) -> int:
    """Return the status with which a URL answers; 404 also for a list that misses the job."""
    if name == "list":
        answer = client.get("/tasks/", query_params={"ids": str(identifier)})
        missing = answer.status_code == 200 and answer.json()["missing"]
        return 404 if missing else answer.status_code
    url = f"/tasks/{identifier}/" + ("" if name == "status" else f"{name}/")
    return (client.post if name == "cancel" else client.get)(url).status_code


def answers(client: Client, identifier: Any) -> dict[str, int]:
    """Return the status with which each URL answers."""
    return {name: ask(client, identifier, name) for name in URLS}
