"""HTTP requests to external APIs."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple

from django.conf import settings


class Answer(NamedTuple):
    """A response, with the seconds of its Retry-After header (0 without one)."""

    status: int
    body: dict[str, Any]
    retry_after: float


def request(method: str, path: str) -> Answer:
    """Send one request and return the response."""
    with closing(HTTPConnection("127.0.0.1", settings.API_PORT, timeout=10)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        retry_after = float(response.headers.get("Retry-After", 0))
        return Answer(response.status, json.load(response), retry_after)
