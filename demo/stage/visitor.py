"""A visitor of the shop without a browser."""

import json
import time
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener
from uuid import uuid4

PATIENCE = 300
"""Seconds a visitor waits for an answer, and for the end of a job."""


class Wrong(Exception):
    """Something is not as it should be."""


class Answer(NamedTuple):
    """What came back from the shop, and after how many seconds."""

    location: str
    document: dict[str, Any]
    seconds: float


class Visitor:
    """Reads pages, presses buttons and waits."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        # Loopback is reached directly, whatever proxy the environment names.
        self.opener = build_opener(HTTPCookieProcessor(self.cookies), ProxyHandler({}))

    def read(self, path: str) -> bytes:
        """Return the content of a page or a file."""
        with self.open(Request(urljoin(self.address, path))) as response:
            return response.read()

    def press(self, path: str, upload: Path | None = None) -> Answer:
        """Send a form and measure how long the answer takes."""
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body, kind = form(upload)
        headers = {"Content-Type": kind, "X-CSRFToken": str(token)}
        request = Request(urljoin(self.address, path), body, headers)
        begin = time.perf_counter()
        with self.open(request) as response:
            content = response.read()
        seconds = time.perf_counter() - begin
        return Answer(response.headers["Location"] or "", json.loads(content), seconds)

    def wait(self, location: str) -> dict[str, Any]:
        """Look at a piece of work until it has ended, and return its last state."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            document = json.loads(self.read(location))
            if document["state"] == "FAILED":
                raise Wrong(document["error"])
            if document["state"] == "SUCCESSFUL":
                return document
            time.sleep(0.05)  # noqa: TID251  # nobody tells a visitor to stop
        raise Wrong(f"{location} has not ended within {PATIENCE} s.")

    def open(self, request: Request) -> HTTPResponse:
        """Send a request; what is no success is wrong."""
        try:
            return self.opener.open(request, timeout=PATIENCE)
        except OSError as error:
            raise Wrong(f"{request.full_url}: {error}") from error


def form(upload: Path | None) -> tuple[bytes, str]:
    """Return a form with a file in its field `image`, or an empty one, and its content type."""
    boundary = uuid4().hex
    end = f"--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    if not upload:
        return end, kind
    disposition = f'Content-Disposition: form-data; name="image"; filename="{upload.name}"'
    head = f"--{boundary}\r\n{disposition}\r\n\r\n".encode()
    return head + upload.read_bytes() + b"\r\n" + end, kind
