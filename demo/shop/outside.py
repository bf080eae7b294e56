"""What the shop asks of other firms, over HTTP."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple

from django.conf import settings


class Answer(NamedTuple):
    """What came back, and after how many seconds to ask again, if that was said."""

    status: int
    body: dict[str, Any]
    retry_after: float


def ask(method: str, path: str) -> Answer:
    """Send one request and wait for the answer."""
    with closing(HTTPConnection("127.0.0.1", settings.OUTSIDE_PORT, timeout=10)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        retry_after = float(response.headers.get("Retry-After", 0))
        return Answer(response.status, json.load(response), retry_after)
