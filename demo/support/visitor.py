"""A visitor of the shop: an HTTP client with cookies."""

import json
import re
import time
from collections.abc import Callable
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener
from uuid import uuid4

TIMEOUT_SECONDS = 300
"""Longest wait for a response, and for a job to finish."""
PATIENCE_SECONDS = 30
"""Longest wait for what should come within seconds."""
RESULT = '<script id="{}-result" type="application/json">(.*?)</script>'


class CheckFailed(Exception):
    """A result differs from the expected one."""


class Answer(NamedTuple):
    """The shop's response and the seconds it took."""

    status: int
    content: bytes
    seconds: float


class Visitor:
    """A client that reads pages, submits forms and follows jobs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        # Ignore proxies in the environment: the shop is on loopback.
        self.opener = build_opener(HTTPCookieProcessor(self.cookies), ProxyHandler({}))

    def read(self, path: str) -> bytes:
        """Return the content of a page or a file."""
        with self.open(Request(urljoin(self.address, path))) as response:
            return response.read()

    def result(self, name: str, page: bytes) -> dict[str, Any]:
        """Return the result of an experiment that a page shows."""
        found = re.search(RESULT.format(name), page.decode(), re.DOTALL)
        if not found:
            raise CheckFailed("The page shows no result.")
        return json.loads(found[1])

    def press(
        self, path: str, upload: Path | None = None, accept: str = "text/html", **fields: str
    ) -> Answer:
        """Submit a form, follow redirects, and measure the time."""
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body, kind = form(upload, fields)
        headers = {"Content-Type": kind, "X-CSRFToken": str(token), "Accept": accept}
        started = time.perf_counter()
        with self.open(Request(urljoin(self.address, path), body, headers)) as response:
            content = response.read()
        return Answer(response.status, content, time.perf_counter() - started)

    def enqueue(self, path: str, **fields: str) -> dict[str, Any]:
        """Submit a form that enqueues a job as a script does; return the job's document."""
        answer = self.press(path, accept="application/json", **fields)
        if answer.status != 202:
            raise CheckFailed(f"{path} was answered with {answer.status} instead of 202.")
        return json.loads(answer.content)

    def jobs(self, path: str) -> list[dict[str, Any]]:
        """Return the documents of all jobs that a page shows, in its order."""
        links = re.findall(r'<task-status\b[^>]* href="([^"]+)"', self.read(path).decode())
        return [json.loads(self.read(link)) for link in links]

    def wait[T](self, what: str, found: Callable[[], T | None]) -> T:
        """Return what a page shows as soon as it does."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (value := found()) is None:
            if time.monotonic() > deadline:
                raise CheckFailed(f"{what} has not come within {PATIENCE_SECONDS} s.")
            time.sleep(0.1)  # noqa: TID251  # a real client waits like this
        return value

    def follow(self, document: dict[str, Any]) -> dict[str, Any]:
        """Poll a job at the pace it asks for until it has finished; return its last document."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        version = document["version"]
        while not document["is_finished"]:
            if time.monotonic() > deadline:
                raise CheckFailed(
                    f"{document['title']} has not finished within {TIMEOUT_SECONDS} s."
                )
            time.sleep(document["poll_ms"] / 1000)  # noqa: TID251  # a real client waits like this
            document = json.loads(self.read(document["links"]["self"]))
            if document["version"] < version:
                raise CheckFailed(f"Version {document['version']} came after {version}.")
            version = document["version"]
        return document

    def refused(self, path: str) -> int:
        """Return the status code with which the server refuses a page."""
        try:
            self.opener.open(urljoin(self.address, path), timeout=TIMEOUT_SECONDS).close()
        except HTTPError as error:
            return error.code
        raise CheckFailed(f"{path} is visible to everybody.")

    def open(self, request: Request) -> HTTPResponse:
        """Send a request; raise CheckFailed unless it succeeds."""
        try:
            return self.opener.open(request, timeout=TIMEOUT_SECONDS)
        except OSError as error:
            raise CheckFailed(f"{request.full_url}: {error}") from error


def form(upload: Path | None, fields: dict[str, str]) -> tuple[bytes, str]:
    """Return a form with a file in its field `image`, if any, and its content type."""
    boundary = uuid4().hex
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    if upload:
        head = f'Content-Disposition: form-data; name="image"; filename="{upload.name}"\r\n\r\n'
        parts.append(head.encode() + upload.read_bytes())
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
