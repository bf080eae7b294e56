"""A visitor of the shop without a browser."""

import json
import re
import time
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener
from uuid import uuid4

PATIENCE = 300
"""Seconds a visitor waits for an answer, and for the end of a job."""
RESULT = '<script id="{}-result" type="application/json">(.*?)</script>'


class Wrong(Exception):
    """Something is not as it should be."""


class Answer(NamedTuple):
    """What came back from the shop, and after how many seconds."""

    status: int
    content: bytes
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

    def result(self, name: str, page: bytes) -> dict[str, Any]:
        """Return the result of an experiment that a page shows."""
        found = re.search(RESULT.format(name), page.decode(), re.DOTALL)
        if not found:
            raise Wrong("The page shows no result.")
        return json.loads(found[1])

    def press(self, path: str, upload: Path | None = None, accept: str = "text/html") -> Answer:
        """Send a form, go where the answer leads, and measure how long it takes."""
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body, kind = form(upload)
        headers = {"Content-Type": kind, "X-CSRFToken": str(token), "Accept": accept}
        begin = time.perf_counter()
        with self.open(Request(urljoin(self.address, path), body, headers)) as response:
            content = response.read()
        return Answer(response.status, content, time.perf_counter() - begin)

    def follow(self, document: dict[str, Any]) -> dict[str, Any]:
        """Look at a job until it has ended, as often as it says, and return its last state."""
        deadline = time.monotonic() + PATIENCE
        version = document["version"]
        while not document["is_finished"]:
            if time.monotonic() > deadline:
                raise Wrong(f"{document['title']} has not ended within {PATIENCE} s.")
            time.sleep(document["poll_ms"] / 1000)  # noqa: TID251  # nobody tells a visitor to stop
            document = json.loads(self.read(document["links"]["self"]))
            if document["version"] < version:
                raise Wrong(f"Version {document['version']} came after {version}.")
            version = document["version"]
        return document

    def refused(self, path: str) -> int:
        """Return with which status a page is refused."""
        try:
            self.opener.open(urljoin(self.address, path), timeout=PATIENCE).close()
        except HTTPError as error:
            return error.code
        raise Wrong(f"{path} is shown to anybody.")

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
